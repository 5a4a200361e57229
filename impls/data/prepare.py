"""Packs latents into what the trainer reads fastest; what every preparation of data shares."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from impls.common.errors import UserError
from impls.data.latents import Latent, latent_names, read_latent
from impls.files import shards
from impls.files.reading import training_folder
from impls.files.shards import Layout, array_path

SHARD_SIZE = 8192  # examples; 256 MiB of 32 x 32 x 8 float32, which is held in memory
READERS = 8  # threads: reading many small files is mostly waiting
CHUNK = 256  # files that are read before an error or an interrupt can end it


class PrepareError(UserError):
    """Data that cannot be prepared; the message is one sentence for the user."""


def pack(folder: Path, output: Path, shard_size: int = SHARD_SIZE, *, half: bool = False) -> Layout:
    """Pack .pt latents into memory-mapped shards: see `impls.files.shards`.

    Example i is the same as before, bit for bit. A packing that was stopped goes on after its last
    whole shard; files are told apart by their names alone, so after changing what is in them, pack
    into another folder.

    Args:
        folder: of one .pt file for each image, or with them in its folder train.
        output: folder to write to; made where it does not exist.
        shard_size: examples in each shard but the last; a shard is built in memory.
        half: store float16, half the size, with means and deviations rounded to 11 bits.

    Raises:
        DataError: when there are no .pt files, or one is damaged.
        PrepareError: when two files differ in shape, the output cannot be written, or it holds
            another packing.
    """
    if shard_size < 1:
        raise PrepareError(f"the shard size is {shard_size}, expected a whole number, 1 or more")
    files = [training_folder(folder) / name for name in latent_names(training_folder(folder))]
    first = read_latent(files[0])
    starts = range(0, len(files), shard_size)
    layout = Layout(
        shape=first.image.shape,
        dtype="float16" if half else first.image.dtype.name,
        flip=first.flipped is not None,
        counts=tuple(min(shard_size, len(files) - start) for start in starts),
    )
    names = digest(file.name for file in files)
    begin(output, {"names": names, **layout._asdict()}, range(len(layout.counts)))
    with Progress() as progress, ThreadPoolExecutor(READERS) as pool:
        task = progress.add_task("packing", total=len(files))
        for number, start in enumerate(starts):
            chosen = files[start : start + shard_size]
            if array_path(output, "labels", number).exists():
                progress.advance(task, len(chosen))
            else:
                advance = partial(progress.advance, task)
                _pack_shard(output, number, chosen, layout, first, pool, advance)
    with writable(output):
        shards.write_index(output, layout)
    return layout


def digest(names: Iterable[str]) -> str:
    """SHA-256 of names in their order."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def begin(output: Path, about: dict[str, Any], numbers: Container[int]) -> None:
    """Note what is being written to a folder, or make sure that it is what was begun there before.

    Several processes may begin at once, each with the numbers of its own shards: what an earlier
    one left half-written of these is removed.

    Raises:
        PrepareError: when another preparation was begun there, or the folder cannot be written.
    """
    plan = json.dumps(about).encode()
    path = output / shards.PLAN
    with writable(output):
        output.mkdir(parents=True, exist_ok=True)
        if not path.exists() and not any(output.glob("[!.]*.npy")):
            shards.write_new(path, plan)
        begun = path.read_bytes() if path.exists() else b""
        if begun != plan:
            raise PrepareError(
                f"{output} holds a packing of other files, or with other options"
                f"{_other(begun, about)}: give another folder, or remove this one"
            )
        for abandoned in output.glob(f"{shards.PARTIAL}*.npy"):
            if int(abandoned.stem.rpartition("-")[2]) in numbers:
                abandoned.unlink(missing_ok=True)


def _other(begun: bytes, about: dict[str, Any]) -> str:
    """In brackets what a plan has otherwise, where that can be read."""
    try:
        plan, new = json.loads(begun), json.loads(json.dumps(about))
        names = [name for name in new if plan.get(name) != new[name]]
    except (ValueError, AttributeError):
        return ""
    return f" (another {', '.join(names)})" if names else ""


def _pack_shard(
    output: Path,
    number: int,
    files: list[Path],
    layout: Layout,
    first: Latent,
    pool: ThreadPoolExecutor,
    advance: Callable[[int], None],
) -> None:
    images = np.empty((len(files), *layout.shape), layout.dtype)
    flipped = np.empty_like(images) if layout.flip else None
    labels = np.empty(len(files), np.int32)

    def read(row: int) -> None:
        latent = read_latent(files[row])
        _check(latent, first, files[row])
        images[row], labels[row] = latent.image, latent.label
        if flipped is not None:
            flipped[row] = latent.flipped

    for start in range(0, len(files), CHUNK):
        rows = range(start, min(start + CHUNK, len(files)))
        list(pool.map(read, rows))
        advance(len(rows))
    write_shard(output, number, images, flipped, labels)


def write_shard(
    output: Path,
    number: int,
    images: NDArray[Any],
    flipped: NDArray[Any] | None,
    labels: NDArray[np.int32],
) -> None:
    """Write the arrays of one shard; the labels come last, and make it a finished one."""
    with writable(output):
        shards.write_array(array_path(output, "images", number), images)
        if flipped is not None:
            shards.write_array(array_path(output, "image_flip", number), flipped)
        shards.write_array(array_path(output, "labels", number), labels)


def _check(latent: Latent, first: Latent, file: Path) -> None:
    """Refuse a file that is unlike the first one."""
    for name, array, model in zip(("image", "image_flip"), latent[:2], first[:2], strict=True):
        got, expected = (None if a is None else (a.dtype.name, a.shape) for a in (array, model))
        if got != expected:
            raise PrepareError(
                f"'{name}' in {file} is {_show(got)}, expected {_show(expected)} as in the first"
                " file: pack latents of one kind at a time"
            )


def _show(kind: tuple[str, tuple[int, ...]] | None) -> str:
    return "missing" if kind is None else f"{kind[0]} {kind[1]}"


@contextmanager
def writable(output: Path) -> Iterator[None]:
    """Turn an error of the disk into one sentence.

    Raises:
        PrepareError: naming the folder, and why it cannot be written to.
    """
    try:
        yield
    except OSError as error:
        raise PrepareError(f"cannot write to {output}: {error.strerror or error}") from error
