"""One process at a time in a folder."""

import errno
import fcntl
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from impls.common.errors import Notice, UserError
from impls.files.writing import writable

LOCK = "lock"  # file in the folder; what stands in it is for the message alone


@contextmanager
def locked(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold a folder, which is made where it does not exist, until the block or the process ends.

    The system releases what a killed process held, so no lock is ever stale.

    Yields:
        A function that raises UserError when the folder was removed or moved since.

    Raises:
        UserError: naming the process that holds the folder, or when it cannot be written.
    """
    path = folder / LOCK
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = _open(path)

    def check() -> None:
        if not _is_at(path, file):
            raise UserError(f"{folder} was removed or moved while something was written to it")

    with file:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        with suppress(OSError):  # a full disk: only the words are missing
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()} since {since}".encode())
        try:
            yield check
        finally:
            if _is_at(path, file):
                path.unlink()


def _open(path: Path) -> FileIO:
    """The file, locked; its last owner may have removed it between the opening and the locking."""
    while True:
        file = path.open("ab+", buffering=0)
        try:
            _lock(file.fileno(), path.parent)
            if _is_at(path, file):
                return file
        except UserError:
            file.close()
            raise
        file.close()


def _is_at(path: Path, file: FileIO) -> bool:
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _lock(file: int, folder: Path) -> None:
    try:
        # Not flock: what the process forks would hold it too, and outlive a kill.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            owner = os.pread(file, 200, 0).decode(errors="replace") or "another process"
            raise UserError(
                f"{folder} is in use by {owner}: wait for its end, stop it, or give another folder"
            ) from error
        said = f"{folder} is on a file system without locks: nothing keeps another run out of it"
        warnings.warn(Notice(said), stacklevel=5)
