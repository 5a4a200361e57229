"""Packing of latents into shards, and the writing of shards that every preparation shares."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from impls.common.errors import UserError
from impls.data.latents import Latent, latent_names, read_latent
from impls.files import shards
from impls.files.reading import training_folder
from impls.files.resumable import changed, digest, progress_bar, split, work_through
from impls.files.shards import Layout, Stored, is_written
from impls.files.writing import PARTIAL, writable, write_new

SHARD_SIZE = 8192  # examples; 256 MiB of 32 x 32 x 8 float32, which is held in memory
CHUNK = 256  # files read between two points where an error or an interrupt can end it

Item = TypeVar("Item")


class PrepareError(UserError):
    """Preparation of data that failed; the message is one sentence for the user."""


def pack(folder: Path, output: Path, shard_size: int = SHARD_SIZE, *, half: bool = False) -> Layout:
    """Pack .pt latents into memory-mapped shards: see `impls.files.shards`.

    Example i is bit-equal to that of the .pt files. An interrupted packing resumes after its last
    complete shard; files are identified by their names alone: after changing their content, pack
    into another folder.

    Args:
        folder: folder of one .pt file per image, directly or in its folder train.
        output: folder to write to; created if it does not exist.
        shard_size: examples in each shard but the last; a shard is built in memory.
        half: store float16, half the size, with means and deviations rounded to 11 bits.

    Raises:
        DataError: when there are no .pt files, or one is damaged.
        PrepareError: when two files differ in shape, the output cannot be written, or it holds
            another packing.
    """
    if shard_size < 1:
        raise PrepareError(f"the shard size is {shard_size}, expected a whole number, 1 or more")
    folder = training_folder(folder)
    files = [folder / name for name in latent_names(folder)]
    first = read_latent(files[0])
    layout = Layout(
        shape=first.image.shape,
        dtype="float16" if half else first.image.dtype.name,
        flip=first.flipped is not None,
        counts=tuple(map(len, split(range(len(files)), shard_size))),
    )

    def stack(latents: list[Latent]) -> Stored:
        images, flipped, labels = zip(*latents, strict=True)
        return Stored(
            np.stack(images).astype(layout.dtype),
            np.stack(flipped).astype(layout.dtype) if layout.flip else None,
            np.array(labels, np.int32),
        )

    numbers = range(len(layout.counts))
    about = {"names": digest(file.name for file in files)}
    write_shards(
        "packing", output, about, layout, numbers, CHUNK, lambda i: _like(first, files[i]), stack
    )
    return layout


def write_shards(
    doing: str,
    output: Path,
    about: dict[str, Any],
    layout: Layout,
    numbers: Sequence[int],
    batch_size: int,
    read: Callable[[int], Item],
    make: Callable[[list[Item]], Stored],
) -> bool:
    """Write those of some shards that are missing, and the index once every shard is written.

    Several processes may write to a folder at once, each its own shards; half-written files of an
    earlier process are removed.

    Args:
        doing: a word for the progress bar.
        about: settings that must match to resume.
        read, make: see `impls.files.resumable.work_through`.

    Returns:
        True if every shard is written.

    Raises:
        PrepareError: when the folder holds another preparation, or cannot be written.
    """
    every = split(range(sum(layout.counts)), layout.counts[0])
    total = sum(layout.counts[number] for number in numbers)
    with writable(output, PrepareError):
        _begin(output, about | layout._asdict())
        for abandoned in output.glob(f"{PARTIAL}*.npy"):
            if int(abandoned.stem.rpartition("-")[2]) in numbers:
                abandoned.unlink(missing_ok=True)
    missing = [every[number] for number in numbers if not is_written(output, number)]

    def save(shard: range, made: list[Stored]) -> None:
        with writable(output, PrepareError):
            shards.write_shard(output, every.index(shard), made)

    with progress_bar(doing, total, total - sum(map(len, missing))) as advance:
        work_through(missing, batch_size, read, make, save, advance)
    is_whole = all(is_written(output, number) for number in range(len(every)))
    if is_whole:
        with writable(output, PrepareError):
            shards.write_index(output, layout)
    return is_whole


def _begin(output: Path, about: dict[str, Any]) -> None:
    """Store the plan of a folder, or compare it with the stored one."""
    path, plan = output / shards.PLAN, json.dumps(about).encode()
    output.mkdir(parents=True, exist_ok=True)
    if not path.exists() and not any(output.glob("[!.]*.npy")):
        write_new(path, plan)
    begun = path.read_bytes() if path.exists() else b""
    if begun != plan:
        raise PrepareError(
            f"{output} holds shards of other files, or with other options{_other(begun, about)}:"
            " give another folder, or remove this one"
        )


def _other(begun: bytes, about: dict[str, Any]) -> str:
    """Names of the differing settings, in brackets, if the stored plan can be read."""
    try:
        names = changed(json.loads(begun), about)
    except (ValueError, AttributeError):
        return ""
    return f" (another {', '.join(names)})" if names else ""


def _like(first: Latent, file: Path) -> Latent:
    """Latent of a file, which must have the shape and dtype of the first one."""
    latent = read_latent(file)
    for name, array, model in zip(("image", "image_flip"), latent[:2], first[:2], strict=True):
        got, expected = (
            "missing" if held is None else f"{held.dtype} {held.shape}" for held in (array, model)
        )
        if got != expected:
            raise PrepareError(
                f"'{name}' in {file} is {got}, expected {expected} as in the first file: pack"
                " latents of one kind at a time"
            )
    return latent
