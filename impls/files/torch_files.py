"""Reader of files of torch.save and torch.jit.save without PyTorch: tensors become NumPy arrays.

A file is a zip archive: `data.pkl`, a pickle in which each tensor names its storage, and one file
of raw numbers for each storage. Only the names below are allowed, so a file cannot run code. The
code of a TorchScript module in the archive is not read. Before PyTorch 1.6 the file was a sequence
of pickles, this one among them, followed by the storages; that is read too.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
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
Content = Callable[[str, str, int], bytes]  # kind, key, size of a storage -> its numbers


class _Storage(NamedTuple):
    kind: str  # a value of STORAGES
    content: bytes


def _tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> NDArray[Any]:
    """Tensor as a strided view of its storage; NumPy raises for a view beyond the storage."""
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
    """Attributes of a TorchScript module, without its code."""

    def tensors(self, prefix: str = "") -> dict[str, NDArray[Any]]:
        """Tensors of the module and its submodules, by state_dict names."""
        found: dict[str, NDArray[Any]] = {}
        for name, value in vars(self).items():
            if isinstance(value, ScriptModule):
                found |= value.tensors(f"{prefix}{name}.")
            elif isinstance(value, np.ndarray):
                found[prefix + name] = value
        return found


class _Unpickler(DataUnpickler):
    """Unpickler of tensors, which loads each storage when it is named."""

    def __init__(self, file: io.BytesIO, harmless: Harmless, content: Content) -> None:
        super().__init__(file, {**NAMED, **harmless})
        self._content = content

    def find_class(self, module: str, name: str) -> Any:
        """Classes that a TorchScript file defines become `ScriptModule`."""
        if f"{module}.".startswith("__torch__."):
            return ScriptModule
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> _Storage:
        tag, kind, key, _, size, *view = pid
        if tag != "storage" or kind not in STORAGES.values() or any(view):
            raise pickle.UnpicklingError("it refers to something that is not a storage")
        return _Storage(kind, self._content(kind, key, size))


def _load_archive(archive: zipfile.ZipFile, harmless: Harmless) -> Any:
    """data.pkl, with storages from the archive that it lies in."""
    names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(names) != 1:
        raise ValueError("a zip file, but without data.pkl")
    folder = names[0].removesuffix("data.pkl")

    def member(name: str) -> bytes:
        """Content of a file in the archive, with its checksum verified; never compressed."""
        info = archive.getinfo(folder + name)
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is compressed")
        return archive.read(info)

    if f"{folder}byteorder" in archive.namelist() and member("byteorder") == b"big":
        raise ValueError("its numbers are big-endian")
    file = io.BytesIO(member("data.pkl"))
    return _Unpickler(file, harmless, lambda _kind, key, _size: member(f"data/{key}")).load()


def _load_old(content: bytes, harmless: Harmless) -> Any:
    """Number, version, machine, value, names of storages: five pickles, then the storages.

    What a storage holds comes after the value that is made of it, which is therefore read twice:
    the first time tensors hold zeros.
    """
    file = io.BytesIO(content[len(OLD_MAGIC) :])
    version, machine = (DataUnpickler(file, {}).load() for _ in range(2))
    if version != OLD_VERSION or not machine["little_endian"]:
        raise ValueError("its format is of another version, or of a big-endian machine")
    start = file.tell()
    itemsizes: dict[str, int] = {}

    def zeros(kind: str, key: str, size: int) -> bytes:
        itemsizes[key] = 2 if kind == BFLOAT16 else np.dtype(kind).itemsize
        if not 0 <= size * itemsizes[key] <= len(content):
            raise ValueError("it is shorter than the tensors in it")
        return bytes(size * itemsizes[key])

    _Unpickler(file, harmless, zeros).load()
    storages = {}
    for key in DataUnpickler(file, {}).load():
        storages[key] = file.read(int.from_bytes(file.read(8), "little") * itemsizes[key])
    file.seek(start)
    return _Unpickler(file, harmless, lambda _kind, key, _size: storages[key]).load()


def load(
    path: Path | str,
    harmless: Harmless = MappingProxyType({}),
    remedy: str = "write it again with torch.save, tensors only",
) -> Any:
    """Object that torch.save wrote to a file, with tensors as NumPy arrays (bfloat16 as float32).

    A TorchScript module, as torch.jit.save writes it, is read as a `ScriptModule`.

    Args:
        harmless: replacements of further (module, name) that the file may name.
        remedy: advice for a file that cannot be read, for the error message.

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
            return _load_archive(archive, harmless)
