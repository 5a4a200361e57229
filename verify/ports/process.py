"""The child process of a port: requests, answers, time limits; restarted when it ends or hangs.

It has a session of its own, so that what the port has started ends with it, and sees no
accelerator: the observations are exact in float64 on a CPU.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from impls.common.errors import UserError, cut

CHILD = Path(__file__).with_name("child.py")
LOAD_SECONDS, CALL_SECONDS = 120.0, 30.0
MOST_PRINTED = 1_000_000  # bytes of the port's output that are kept on disk
LAST_PRINTED = 4_000  # bytes of it that are read where its process ended
ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}


class PortError(Exception):
    """A call of the port that gave no answer; the message is one sentence."""

    def __init__(self, message: str, where: str = "", kind: str = "") -> None:
        super().__init__(message)
        self.where, self.kind = where, kind

    def __str__(self) -> str:
        return f"{self.args[0]} ({self.where})" if self.where else str(self.args[0])


@dataclass(frozen=True)
class Loaded:
    """What the port's file defines."""

    framework: str  # torch or jax
    version: str  # of the framework
    losses: tuple[str, ...]
    sample: bool
    build: bool
    claims: dict[str, dict[str, Any]]


class Port:
    """A port in a process of its own; use it as a context.

    With `keep`, another `file` is imported by the process that runs already: its framework has to
    be the same, and what one port leaves behind there, another may meet.
    """

    def __init__(
        self,
        file: Path,
        python: str = "",
        call_seconds: float = CALL_SECONDS,
        *,
        keep: bool = False,
    ) -> None:
        if not file.is_file():
            raise UserError(f"there is no port {file}: give the path of a Python file")
        self.file, self.python = file, python or sys.executable
        self.call_seconds, self.keep = call_seconds, keep
        self._folder = tempfile.TemporaryDirectory(prefix="meanflow-port-")
        self._process: subprocess.Popen[str] | None = None
        self._replies: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.loaded: Loaded | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._stop()
        self._folder.cleanup()

    def load(self) -> Loaded:
        """Start the interpreter, unless one is kept, and import the port.

        Raises:
            UserError: when the interpreter cannot be run or the file is no port.
            PortError: when the port raises, exits or hangs as it is imported.
        """
        if not (self.keep and self._runs()):
            self._start()
        self.loaded = None
        reply = self._ask({"op": "load", "file": str(self.file.resolve())}, LOAD_SECONDS)
        if "refused" in reply:
            raise UserError(f"{self.file.name}: {reply['refused']}")
        self.loaded = Loaded(
            reply["framework"], reply["version"], tuple(reply["losses"]), reply["sample"],
            reply["build"], reply["claims"],
        )  # fmt: skip
        return self.loaded

    def _runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _start(self) -> None:
        self._stop()
        Path(self._folder.name).mkdir(exist_ok=True)  # the port may have removed it
        self._log = Path(self._folder.name, "printed")
        try:
            with self._log.open("ab") as log:  # appending, as it is cut while the port prints
                self._process = subprocess.Popen(
                    [self.python, "-u", str(CHILD), str(self.file.resolve()), self._folder.name],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                    env=os.environ | ENVIRONMENT, start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise UserError(f"--python {self.python} cannot be run: {error.strerror}") from error
        self._replies = queue.SimpleQueue()
        threading.Thread(
            target=self._read, args=(self._process, self._replies), daemon=True
        ).start()

    def ask(self, **request: Any) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """The port's answer to a request, and its arrays by name.

        Raises:
            PortError: when the port raises, exits or hangs.
        """
        if not self._runs():
            self.load()
        answer = Path(self._folder.name, "answer.npz")
        answer.unlink(missing_ok=True)
        reply = self._ask(request, self.call_seconds)
        arrays = {}
        if answer.exists():
            with np.load(answer) as stored:
                arrays = dict(stored)
        return reply, arrays

    def printed(self) -> str:
        """The last lines that the port printed, as one."""
        try:
            text = self._log.read_bytes()[-LAST_PRINTED:].decode(errors="replace")
        except OSError:  # the port has removed the folder
            return ""
        return " / ".join(line.strip() for line in text.splitlines() if line.strip())

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            if self._log.stat().st_size > MOST_PRINTED:
                os.truncate(self._log, 0)
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except OSError:  # the process has ended: no reply will come
            pass
        line = self._line(process, seconds)
        if line is None:
            self._stop()
            raise PortError(f"no answer within {seconds:g} s", kind="hang")
        if not line:
            status = process.wait()
            self._stop()
            last = cut(self.printed(), 200)
            said = f", its last words: {last}" if last else ""
            raise PortError(f"its process ended with status {status}{said}", kind="exit")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply and request["op"] != "sample":
            raise PortError(reply["error"], reply["where"], reply["kind"])
        return reply

    def _line(self, process: "subprocess.Popen[str]", seconds: float) -> str | None:
        """The next line of the process; nothing in it where it has ended, None where it is late."""
        ends = time.monotonic() + seconds
        while True:
            ended = process.poll() is not None
            try:
                return self._replies.get(timeout=max(0.0, min(0.5, ends - time.monotonic())))
            except queue.Empty:
                if ended:  # a process that it has left behind holds its output open
                    return ""
                if time.monotonic() >= ends:
                    return None

    @staticmethod
    def _read(process: "subprocess.Popen[str]", replies: "queue.SimpleQueue[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            replies.put(line)
        replies.put("")

    def _stop(self) -> None:
        """End the process and all that it has started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
