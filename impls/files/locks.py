"""Exclusive lock of a folder."""

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

LOCK = "lock"  # file in the folder; its content is only for the message


@contextmanager
def locked(folder: Path) -> Iterator[Callable[[], None]]:
    """Lock a folder, created if it does not exist, until the block or the process ends.

    The system releases the locks of a killed process, so no lock is ever stale.

    Yields:
        A function that raises UserError when the folder was removed or moved since.

    Raises:
        UserError: naming the process that holds the lock, or when the folder cannot be written.
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
    """Locked file; opened again if its last owner removed it before it was locked."""
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
    """True if an open file is the one at a path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _lock(file: int, folder: Path) -> None:
    try:
        # Not flock: forked processes would hold the lock too, and could outlive this one.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            owner = os.pread(file, 200, 0).decode(errors="replace") or "another process"
            raise UserError(
                f"{folder} is in use by {owner}: wait for it, stop it, or give another folder"
            ) from error
        said = f"{folder} is on a file system without locks: do not start another run in it"
        warnings.warn(Notice(said), stacklevel=5)
