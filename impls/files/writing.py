"""Files that are written whole or not at all, and one sentence where the disk refuses."""

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

PARTIAL = ".partial-"  # how the names of files begin that are being written


@contextmanager
def writable(path: Path, kind: type[UserError] = UserError) -> Iterator[None]:
    """Turn an error of the disk into one sentence.

    Raises:
        UserError: of the kind, `cannot write to PATH: REASON`.
    """
    try:
        yield
    except OSError as error:
        raise kind(f"cannot write to {path}: {error.strerror or error}") from error


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Let a file be written under a temporary name, which becomes its own when all went well.

    It has the mode that the umask gives, also where what writes it makes files for nobody else.
    """
    with _partial(path) as partial:
        partial.touch()
        mode = partial.stat().st_mode
        yield partial
        partial.chmod(mode)
        _flush(partial)
        partial.replace(path)


def write_whole(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file under a temporary name and rename it, so that half of it never counts.

    What is no file of its own (a pipe, a device, a link to either) is written to as it is.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_bytes(b"".join(parts))
        return
    with whole(path) as partial, partial.open("wb") as file:
        file.writelines(parts)


def write_new(path: Path, content: bytes) -> None:
    """Write a file whole, unless there is one: of several processes, the first to come writes."""
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
    """Append to a file all of the content, or nothing where the disk refuses, which is raised."""
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
    """Write a .npz file whole, in a folder that is made where it does not exist.

    Raises:
        UserError: of the kind, when the disk refuses.
    """
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    with writable(path, kind):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content.getbuffer())


@contextmanager
def _partial(path: Path) -> Iterator[Path]:
    # Of one process alone, also where several machines write to one folder.
    partial = path.with_name(f"{PARTIAL}{platform.node()}-{os.getpid()}-{path.name}")
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _flush(partial: Path) -> None:
    """Hand a file to the disk, which may find out only now that it is full."""
    with partial.open("r+b") as file:
        os.fsync(file.fileno())
