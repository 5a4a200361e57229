"""Atomic writing of files, with one sentence for an error of the disk."""

import io
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.common.errors import UserError

PARTIAL = ".partial-"  # prefix of the names of files that are being written


@contextmanager
def writable(path: Path, kind: type[UserError] = UserError) -> Iterator[None]:
    """Context that turns an OSError into one sentence.

    Raises:
        UserError: of the given kind, `cannot write to PATH: REASON`.
    """
    try:
        yield
    except OSError as error:
        raise kind(f"cannot write to {path}: {error.strerror or error}") from error


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Context with a temporary path, which is renamed to the final one on success.

    The file gets the mode of the umask, even if the writer creates private files.
    """
    with _partial(path) as partial:
        partial.touch()
        mode = partial.stat().st_mode
        yield partial
        partial.chmod(mode)
        _flush(partial)
        partial.replace(path)


def write_whole(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file atomically: under a temporary name, which is then changed.

    A pipe or a device (or a link to one) is written to directly.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_bytes(b"".join(parts))
        return
    with whole(path) as partial, partial.open("wb") as file:
        file.writelines(parts)


def write_new(path: Path, content: bytes) -> None:
    """Write a file atomically unless it exists: of several processes, the first one writes."""
    with _partial(path) as partial:
        partial.write_bytes(content)
        _flush(partial)
        try:
            path.hardlink_to(partial)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            partial.replace(path)


def append_whole(path: Path, content: bytes) -> None:
    """Append all of the content to a file, or nothing; raises OSError when it cannot be written."""
    with path.open("ab", buffering=0) as file:
        before, rest = file.tell(), memoryview(content)
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            if before:
                file.truncate(before)
            else:
                path.unlink()
            raise


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], kind: type[UserError] = UserError
) -> None:
    """Write a .npz file atomically, in a folder that is created if it does not exist.

    Raises:
        UserError: of the given kind, when it cannot be written.
    """
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    with writable(path, kind):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content.getbuffer())


@contextmanager
def _partial(path: Path) -> Iterator[Path]:
    # Unique to this process, even if several machines write to one folder.
    partial = path.with_name(f"{PARTIAL}{platform.node()}-{os.getpid()}-{path.name}")
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _flush(partial: Path) -> None:
    """Flush a file to disk, where a full disk may show only now."""
    with partial.open("r+b") as file:
        os.fsync(file.fileno())
