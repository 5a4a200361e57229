"""The command as a process: its standard streams, its interrupts, its exit status.

a closed pipe (`meanflow … | head -1`)     ends the command at once, silently, with status 141
a full disk (`meanflow … > log`)           drops what cannot be written; the work continues,
so that no other output is lost, and the command ends
with one sentence and status 2
a terminal without UTF-8 (LC_ALL=C)        gets ASCII in place of typographic characters
"""

import _thread
import codecs
import io
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from impls.common.errors import Notice

PIPE_CLOSED = 141  # 128 + SIGPIPE, as a shell reports it
# box drawing, bullets and dots, dashes and signs, quotes, Fréchet's accent
TYPOGRAPHIC = "─━│┃╭╮╰╯├┤┌┐└┘•·×–—−≤≥‘’“”é"  # noqa: RUF001  each is meant
PLAIN = dict(zip(TYPOGRAPHIC, "--||++++++++++**x---<>''\"\"e", strict=True)) | {
    "…": "...", "±": "+-",
}  # fmt: skip


def run(main: Callable[[], int], interrupted: Callable[[], int]) -> int | str | None:
    """Run the command with guarded streams and interrupts; returns what sys.exit is given."""
    was_interrupted = _remember_interrupts()
    stdout, _ = (_guard(name) for name in ("stdout", "stderr"))
    status: int | str | None
    try:
        status = main()
        _flush()
    except SystemExit as ended:  # after --help, for an unknown option, or where a pipe is closed
        status = ended.code
        _flush()
    except Exception:
        if not was_interrupted():
            raise
        status = interrupted()  # C code and class bodies turn an interrupt into other exceptions
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a further interrupt ends the process silently
    if stdout and stdout.failure:
        print(f"meanflow: cannot write to standard output: {stdout.failure}", file=sys.stderr)
        return 2
    return status


@contextmanager
def notices_on_stderr() -> Iterator[None]:
    """Print each notice once, on a line of its own; other warnings are left as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", Notice)
        show_other = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *at: Any, **options: Any) -> None:
            if issubclass(category, Notice):
                print(f"meanflow: {message}", file=sys.stderr)
            else:
                show_other(message, category, *at, **options)

        warnings.showwarning = show
        yield


class Stream(io.FileIO):
    """A standard stream that raises no OSError; `failure` says why it could not be written to."""

    failure: str | None = None
    _closed_pipe = False

    def write(self, content: object) -> int:
        """Write bytes, or drop them where that is not possible.

        Raises:
            SystemExit: if the reader has closed the pipe.
        """
        if self._closed_pipe:  # the interpreter flushes once more when it ends
            return memoryview(content).nbytes  # type: ignore[arg-type]
        try:
            return super().write(content) or 0  # type: ignore[arg-type]
        except BrokenPipeError:
            self._closed_pipe = True
            raise SystemExit(PIPE_CLOSED) from None
        except OSError as error:
            self.failure = error.strerror or str(error)
            return memoryview(content).nbytes  # type: ignore[arg-type]


def _guard(name: str) -> Stream | None:
    """Let sys.stdout or sys.stderr write through a `Stream`, which is returned.

    None if the stream is closed, or is not a file descriptor (a Windows console).
    """
    stream = getattr(sys, name)
    buffer = getattr(stream, "buffer", None)  # the file itself with PYTHONUNBUFFERED
    if not isinstance(getattr(buffer, "raw", buffer), io.FileIO):
        return None
    raw = Stream(stream.fileno(), "w", closefd=False)
    wrapped = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="meanflow.plain",
        line_buffering=stream.line_buffering or stream.write_through,
    )
    setattr(sys, name, wrapped)
    return raw


def _flush() -> None:
    """Flush standard output, which raises SystemExit if the pipe is closed."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _remember_interrupts() -> Callable[[], bool]:
    """Function that returns if there was an interrupt; one lost in a destructor is raised again."""
    times = []

    def remember(number: int, frame: FrameType | None) -> None:
        times.append(number)
        signal.default_int_handler(number, frame)

    def again(unraisable: Any) -> None:  # as in a destructor
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            later = threading.Timer(0.01, _thread.interrupt_main)  # at once would be in here
            later.daemon = True
            later.start()
        else:
            otherwise(unraisable)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored, as by nohup
        signal.signal(signal.SIGINT, remember)
    otherwise, sys.unraisablehook = sys.unraisablehook, again
    return lambda: bool(times)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """ASCII in place of the characters that an encoding does not have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    written = (PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in found)
    return "".join(written), error.end


codecs.register_error("meanflow.plain", _plain)
