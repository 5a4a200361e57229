"""Reads what torch.save or torch.jit.save wrote, without PyTorch: tensors become NumPy arrays.

A file is a zip archive: `data.pkl`, a pickle in which each tensor names its storage, and one file
of bare numbers for each storage. Only the names below are understood, so a file can run no code.
A TorchScript module's code lies beside them, and is not read. Before PyTorch 1.6 the same pickle
stood between others in a plain file, with the storages after it; that is read too.
"""

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

from impls.files.reading import DataUnpickler, readable

OLD_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)  # how files began before PyTorch 1.6
OLD_VERSION = 1001
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

Harmless = Mapping[tuple[str, str], Any]  # (module, name) -> what stands for it


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
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("collections", "OrderedDict"): OrderedDict,
    ("torch.jit._pickle", "restore_type_tag"): lambda value, _: value,
    **{("torch.jit._pickle", f"build_{kind}list"): list for kind in ("int", "double", "bool")},
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
    """Reads a pickle of tensors, asking for each storage where it is named."""

    def find_class(self, module: str, name: str) -> Any:
        """Classes that a TorchScript file defines become `ScriptModule`."""
        if f"{module}.".startswith("__torch__."):
            return ScriptModule
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> _Storage:
        tag, kind, key, _, size, *view = pid
        if tag != "storage" or kind not in STORAGES.values() or any(view):
            raise pickle.UnpicklingError("it refers to something that is no storage")
        return _Storage(kind, self.content(kind, key, size))

    def content(self, kind: str, key: str, size: int) -> bytes:
        """The numbers of a storage."""
        raise NotImplementedError


class _ArchiveUnpickler(_Unpickler):
    """Reads data.pkl, fetching storages from the archive that it lies in."""

    def __init__(self, archive: zipfile.ZipFile, harmless: Harmless) -> None:
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

    def content(self, kind: str, key: str, size: int) -> bytes:  # noqa: ARG002
        return self.member(f"data/{key}")


class _OldUnpickler(_Unpickler):
    """Reads the pickle of a file from before PyTorch 1.6."""

    def __init__(
        self, file: io.BytesIO, harmless: Harmless, storages: dict[str, bytes] | None = None
    ) -> None:
        """Without storages it finds out what they are, and tensors hold zeros."""
        super().__init__(file, {**NAMED, **harmless})
        self.kinds: dict[str, str] = {}
        self._storages, self._most = storages, len(file.getbuffer())

    def content(self, kind: str, key: str, size: int) -> bytes:
        self.kinds[key] = kind
        if self._storages is not None:
            return self._storages[key]
        if not 0 <= size * _itemsize(kind) <= self._most:
            raise ValueError("it is shorter than the tensors in it")
        return bytes(size * _itemsize(kind))


def _load_old(content: bytes, harmless: Harmless) -> Any:
    """Number, version, machine, value, names of storages: five pickles, then the storages.

    What a storage holds comes after the value that is made of it, which is therefore read twice.
    """
    file = io.BytesIO(content[len(OLD_MAGIC) :])
    version, machine = (DataUnpickler(file, {}).load() for _ in range(2))
    if version != OLD_VERSION or not machine["little_endian"]:
        raise ValueError("its format is of another version, or of a big-endian machine")
    start = file.tell()
    first = _OldUnpickler(file, harmless)
    first.load()
    storages = {}
    for key in DataUnpickler(file, {}).load():
        size = int.from_bytes(file.read(8), "little") * _itemsize(first.kinds[key])
        storages[key] = file.read(size)
    file.seek(start)
    return _OldUnpickler(file, harmless, storages).load()


def _itemsize(kind: str) -> int:
    return 2 if kind == BFLOAT16 else np.dtype(kind).itemsize


def load(
    path: Path | str,
    harmless: Harmless = MappingProxyType({}),
    remedy: str = "write it again with torch.save, tensors only",
) -> Any:
    """What torch.save wrote to a file, tensors as NumPy arrays (bfloat16 as float32).

    A TorchScript module, as torch.jit.save writes it, is read as a `ScriptModule`.

    Args:
        harmless: what stands for further (module, name) that the file may name.
        remedy: what to do about a file that cannot be read.

    Raises:
        DataError: when it is damaged, or holds more than tensors, numbers, text, lists and
            dictionaries.
    """
    with readable(path, remedy):
        content = Path(path).read_bytes()
        if content.startswith(OLD_MAGIC):
            return _load_old(content, harmless)
        if not content.startswith(b"PK"):
            raise ValueError("not the zip format that torch.save writes, nor that of old releases")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _ArchiveUnpickler(archive, harmless).load()
