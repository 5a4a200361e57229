"""Costs of training steps on TPUs that are not attached, compiled by a process of its own.

XLA's TPU compiler writes to the standard error stream and ends its process on an internal error, so
bench/tpu/child.py runs it; a process that ended is started again for the next step.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from impls.common.config import Config
from impls.common.environment import ROOT
from impls.common.errors import DoesNotFitError, UserError
from impls.common.types import Cost

# The child uses no accelerator, and compiles anew what this bench has not compiled before.
# XLA_FLAGS of CPUs and GPUs end the TPU compiler; its own are in LIBTPU_INIT_ARGS.
ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "0", "XLA_FLAGS": ""}
CHILD = [sys.executable, "-m", "bench.tpu.child"]
CHECK = "Check failed"  # begins the compiler's own account of an internal error
TERMINATED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # by somebody: no fault of the step
LIST_TPUS = "import jax; print(len(jax.devices('tpu')))"


class Request(NamedTuple):
    """Training step to compile."""

    topology: str
    config: dict[str, Any] | None = None  # of Config.model_dump; None: is there such a topology?
    official: str | None = None  # checkout of the authors' code, whose step is meant


def num_attached() -> int:
    """Number of TPU devices of this machine, as JAX lists them in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", LIST_TPUS], capture_output=True, text=True, check=False
    )
    return int(done.stdout) if done.returncode == 0 else 0


class CompilerError(UserError):
    """An internal error of the compiler."""


class Compiler:
    """Compiler of training steps for named topologies; a context manager.

    Compiled steps are kept in the user's cache folder: see bench/tpu/child.py.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None
        self._noise: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child:
            self._child.kill()
            self._child.communicate()
        self._noise.close()

    def cost(self, config: Config, topology: str, official: Path | None = None) -> Cost:
        """Cost of the training step of a configuration, or of the authors' step.

        Raises:
            DoesNotFitError: when the step needs more memory than the device has.
            CompilerError: after an internal error of the compiler.
            UserError: without libtpu, for a topology or checkout that does not exist, or where the
                process that compiles is terminated.
        """
        checkout = str(official) if official else None
        answer = self._answer(Request(topology, config.model_dump(mode="json"), checkout))
        if "too_large" in answer:
            raise DoesNotFitError(answer["too_large"])
        return Cost(**answer["cost"])

    def check(self, topology: str) -> None:
        """Raise UserError without libtpu, or for a topology that does not exist."""
        self._answer(Request(topology))

    def _answer(self, request: Request) -> dict[str, Any]:
        """Answer of the child to a request; what it refuses is a UserError."""
        child = self._child or self._start()
        assert child.stdin
        assert child.stdout
        try:
            child.stdin.write(json.dumps(request._asdict()) + "\n")
            child.stdin.flush()
            line = child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            child.communicate()
            self._child = None
            if -child.returncode in TERMINATED:
                raise UserError(
                    "the process that compiles was terminated: begin again, what it had compiled is"
                    " kept"
                )
            raise CompilerError(f"the TPU compiler failed ({self._reason()})")
        answer: dict[str, Any] = json.loads(line)
        if "refused" in answer:
            raise UserError(answer["refused"])
        return answer

    def _start(self) -> subprocess.Popen[str]:
        self._noise.seek(0)
        self._noise.truncate()
        self._child = subprocess.Popen(
            CHILD,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._noise,
            text=True,
            env=os.environ | ENVIRONMENT,
            cwd=ROOT,
        )
        return self._child

    def _reason(self) -> str:
        """Line of the child's errors that says why it ended: a failed check, or the last one."""
        self._noise.seek(0)
        lines = [line.strip() for line in self._noise if line.strip()]
        checks = [line[line.index(CHECK) :] for line in lines if CHECK in line]
        return (checks or lines[-1:] or ["without a message"])[0]
