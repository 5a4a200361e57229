"""Reads what torch.save or torch.jit.save wrote, without PyTorch: tensors become NumPy arrays.

A file is a zip archive: `data.pkl`, a pickle in which each tensor names its storage, and one file
of bare numbers for each storage. Only the names below are understood, so a file can run no code.
A TorchScript module's code lies beside them, and is not read.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impls.common.data.reading import DataUnpickler, readable

BFLOAT16 = "bfloat16"  # which NumPy lacks: read as the upper half of float32
STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class _Storage(NamedTuple):
    kind: str  # a value of STORAGES
    content: bytes


def _tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> NDArray[Any]:
    """The view of a storage that a tensor is; NumPy refuses one that leaves the storage."""
    dtype = np.dtype("<u2" if storage.kind == BFLOAT16 else storage.kind)
    steps = [stride * dtype.itemsize for stride in strides]
    start = offset * dtype.itemsize
    array: NDArray[Any] = np.ndarray(shape, dtype, storage.content, start, steps)
    if storage.kind == BFLOAT16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


NAMED: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("collections", "OrderedDict"): OrderedDict,
    ("torch.jit._pickle", "build_intlist"): list,
    **{("torch", name): kind for name, kind in STORAGES.items()},
}


class ScriptModule:
    """Stands for a TorchScript module: its attributes, and none of its code."""

    def tensors(self, prefix: str = "") -> dict[str, NDArray[Any]]:
        """Its tensors, and those of the modules in it, under the names of a state_dict."""
        found: dict[str, NDArray[Any]] = {}
        for name, value in vars(self).items():
            if isinstance(value, ScriptModule):
                found |= value.tensors(f"{prefix}{name}.")
            elif isinstance(value, np.ndarray):
                found[prefix + name] = value
        return found


class _Unpickler(DataUnpickler):
    """Reads data.pkl, fetching storages from the archive that it lies in."""

    def __init__(self, archive: zipfile.ZipFile, harmless: Mapping[tuple[str, str], Any]) -> None:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise ValueError("a zip file, but without data.pkl")
        self._archive, self._folder = archive, names[0].removesuffix("data.pkl")
        if f"{self._folder}byteorder" in archive.namelist() and self.member("byteorder") == b"big":
            raise ValueError("its numbers are big-endian")
        super().__init__(io.BytesIO(self.member("data.pkl")), {**NAMED, **harmless})

    def member(self, name: str) -> bytes:
        """Content of a file in the archive, held against its checksum; torch.save never packs."""
        info = self._archive.getinfo(self._folder + name)
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is compressed")
        return self._archive.read(info)

    def find_class(self, module: str, name: str) -> Any:
        """Classes that a TorchScript file defines become `ScriptModule`."""
        if f"{module}.".startswith("__torch__."):
            return ScriptModule
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> _Storage:
        tag, kind, key, _, _ = pid
        if tag != "storage" or kind not in STORAGES.values():
            raise pickle.UnpicklingError("it refers to something that is no storage")
        return _Storage(kind, self.member(f"data/{key}"))


def load(
    path: Path | str,
    harmless: Mapping[tuple[str, str], Any] = MappingProxyType({}),
    remedy: str = "write it again with torch.save, tensors only",
) -> Any:
    """What torch.save wrote to a file, tensors as NumPy arrays (bfloat16 as float32).

    A TorchScript module, as torch.jit.save writes it, is read as a `ScriptModule`.

    Args:
        harmless: what stands for further (module, name) that the file may name.
        remedy: what to do about a file that cannot be read.

    Raises:
        DataError: when it is damaged, of PyTorch before 1.6, or holds more than tensors, numbers,
            text, lists and dictionaries.
    """
    with readable(path, remedy):
        content = Path(path).read_bytes()
        if not content.startswith(b"PK"):
            raise ValueError("not the zip format that torch.save writes since PyTorch 1.6")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _Unpickler(archive, harmless).load()
