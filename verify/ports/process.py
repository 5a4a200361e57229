"""The child process of a port: requests, answers, time limits; restarted when it ends or hangs."""

import json
import queue
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
LAST_LINES = 3  # of what the port printed, where its process ended


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
    """A port in a process of its own; use it as a context."""

    def __init__(self, file: Path, python: str = "", call_seconds: float = CALL_SECONDS) -> None:
        if not file.is_file():
            raise UserError(f"there is no port {file}: give the path of a Python file")
        self.file, self.python = file.resolve(), python or sys.executable
        self.call_seconds = call_seconds
        self._folder = tempfile.TemporaryDirectory(prefix="meanflow-port-")
        self._process: subprocess.Popen[str] | None = None
        self._replies: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.loaded: Loaded | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._stop()
        self._folder.cleanup()

    def load(self) -> Loaded:
        """Start the interpreter and import the port.

        Raises:
            UserError: when the interpreter cannot be run or the file is no port.
            PortError: when the port raises, exits or hangs as it is imported.
        """
        self._stop()
        self._log = Path(self._folder.name, "printed")
        try:
            with self._log.open("w") as log:
                self._process = subprocess.Popen(
                    [self.python, "-u", str(CHILD), str(self.file), self._folder.name],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                )  # fmt: skip
        except OSError as error:
            raise UserError(f"--python {self.python} cannot be run: {error.strerror}") from error
        self._replies = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(self._process, self._replies), daemon=True).start()
        reply = self._ask({"op": "load"}, LOAD_SECONDS)
        if "refused" in reply:
            raise UserError(f"{self.file.name}: {reply['refused']}")
        self.loaded = Loaded(
            reply["framework"], reply["version"], tuple(reply["losses"]), reply["sample"],
            reply["build"], reply["claims"],
        )  # fmt: skip
        return self.loaded

    def ask(self, **request: Any) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """The port's answer to a request, and its arrays by name.

        Raises:
            PortError: when the port raises, exits or hangs.
        """
        if self._process is None or self._process.poll() is not None:
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
        """The last lines that the port printed."""
        lines = self._log.read_text(errors="replace").split("\n")
        return " / ".join(line.strip() for line in lines if line.strip())

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        process = self._process
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except OSError:  # the process has ended: no reply will come
            pass
        ends = time.monotonic() + seconds
        while True:
            try:
                line = self._replies.get(timeout=max(0.0, min(0.5, ends - time.monotonic())))
            except queue.Empty:
                if time.monotonic() < ends:
                    continue
                self._stop()
                raise PortError(f"no answer within {seconds:g} s", kind="hang") from None
            break
        if not line:
            status = process.wait()
            last = cut(self.printed(), 200)
            raise PortError(f"its process ended with status {status}: {last}", kind="exit")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply and request["op"] != "sample":
            raise PortError(reply["error"], reply["where"], reply["kind"])
        return reply

    @staticmethod
    def _read(process: "subprocess.Popen[str]", replies: "queue.SimpleQueue[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            replies.put(line)
        replies.put("")

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:
                        pass
            self._process = None
