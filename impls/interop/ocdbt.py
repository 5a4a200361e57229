"""Reader of checkpoints in Orbax's OCDBT format, which later versions of flax and Orbax write."""

import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from impls.common.errors import UserError

MANIFEST = "manifest.ocdbt"  # present in every such folder


def read_ocdbt(folder: Path) -> Any:
    """Tree of NumPy arrays in a folder, read by Orbax.

    Raises:
        UserError: when Orbax is not installed, or cannot read it.
    """
    try:
        orbax: Any = importlib.import_module("orbax.checkpoint")
        jax: Any = importlib.import_module("jax")
    except ModuleNotFoundError as error:
        raise UserError(
            f"{folder} is in Orbax's OCDBT format, which Orbax alone reads:"
            ' pip install -c constraints.txt -e ".[jax]"'
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that it was saved on other devices
            reader = orbax.PyTreeCheckpointer()
            stored = reader.metadata(folder).item_metadata
            as_numpy = orbax.RestoreArgs(restore_type=np.ndarray)
            kinds = jax.tree.map(lambda _: as_numpy, stored.tree)
            return reader.restore(folder, restore_args=kinds)
    except Exception as error:  # Orbax raises whatever its storage does
        raise UserError(
            f"{folder} cannot be read by Orbax ({type(error).__name__}: {str(error)[:120]})"
        ) from error
