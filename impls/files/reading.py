"""Reading of untrusted files: locations, errors for damaged files, safe unpickling."""

import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from PIL import Image

from impls.common.config import DatasetConfig
from impls.common.errors import DataError, UserError
from impls.common.paths import expanded

# Exceptions of the standard library, NumPy and Pillow for files that are damaged or of another
# kind; not AssertionError, NameError or ImportError, which are not the file's fault.
DAMAGE = (
    ArithmeticError, AttributeError, BufferError, EOFError, LookupError, MemoryError, OSError,
    RuntimeError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError, lzma.LZMAError,
    pickle.PickleError, struct.error, tarfile.TarError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@contextmanager
def readable(path: object, remedy: str, kind: type[UserError] = DataError) -> Iterator[None]:
    """Context that turns exceptions of reading a damaged file into one sentence with a remedy.

    Raises:
        UserError: of the given kind, `PATH cannot be read (REASON): REMEDY`, or a UserError raised
            within.
    """
    try:
        yield
    except kind:
        raise
    except UserError as error:
        raise kind(str(error)) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise kind(f"{path} cannot be read ({reason[:120]}): {remedy}") from error
    except DAMAGE as error:
        reason = f"{type(error).__name__}: {error}"[:120]
        raise kind(f"{path} cannot be read ({reason}): {remedy}") from error


def root_folder(config: DatasetConfig, needed: str) -> Path:
    """Folder (or file) that `dataset.root` names.

    Raises:
        DataError: when it does not exist, naming what is needed there.
    """
    path = expanded(config.root)
    if not path.exists():
        raise DataError(
            f"dataset.root is {config.root}, which does not exist: for {config.name} it must be"
            f" {needed}"
        )
    return path


def training_folder(root: Path) -> Path:
    """ROOT/train if it exists, as the official code expects, else ROOT."""
    return root / "train" if (root / "train").is_dir() else root


class DataUnpickler(pickle.Unpickler):
    """Unpickler with a list of allowed names, so that a pickle cannot run code."""

    def __init__(self, file: IO[bytes], named: Mapping[tuple[str, str], Any], **options: Any):
        """Read from a file.

        Args:
            named: replacement for each (module, name) that the pickle may name.
            options: those of pickle.Unpickler.
        """
        super().__init__(file, **options)
        self._named = named

    def find_class(self, module: str, name: str) -> Any:
        """Replacement of an allowed name, instead of an import."""
        try:
            return self._named[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not data") from None
