"""Golden files: inputs, draws and results of the official code, in the format of its README.

A folder holds cases.json (case -> model sizes and method settings), params.npz (parameters by
official name) and one case_<name>.npz for each case.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from impls.common import weights
from impls.common.config import Config
from impls.common.config_files import ConfigError, from_sizes
from impls.common.draws import image_shape
from impls.common.errors import UserError
from impls.common.records import Batch, Draws
from impls.common.shapes import check_labels
from verify.cases import Array, Case

BUNDLED = Path(__file__).parent.parent / "reference" / "golden"

INPUTS = ("x", "y", "draw_t_raw", "draw_r_raw", "draw_e", "draw_drop_uniform", "sample_noise")
IMAGES = ("jvp_z", "jvp_tangent", "jvp_u", "jvp_du_dt")
RESULTS = (*IMAGES, "jvp_t", "jvp_r", "loss", "v_loss", "grad_names", "grad_norms")


class GoldenError(UserError):
    """A golden folder that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True, eq=False)
class GoldenCase(Case):
    """A case with the answers of the official code beside it."""

    arrays: dict[str, Array]  # every array of case_<name>.npz, by its name there
    official_names: dict[str, str]  # official parameter name -> canonical name

    @property
    def samplers(self) -> list[str]:
        """Names of the stored samples, each with its `_times`."""
        return [
            name
            for name in self.arrays
            if name.startswith("sample_s") and f"{name}_times" in self.arrays
        ]


def load_golden(folder: Path) -> tuple[GoldenCase, ...]:
    """Every case of a golden folder, each array checked for presence, shape and finite numbers.

    Raises:
        GoldenError: naming the file and the array.
    """
    if not folder.is_dir():
        raise GoldenError(f"there is no golden folder {folder}")
    listed = _read_json(folder / "cases.json")
    if not isinstance(listed, dict) or not listed:
        raise GoldenError(f"{folder / 'cases.json'} is not a mapping of cases")
    params = _read_npz(folder / "params.npz")
    return tuple(_load_case(folder, name, sizes, params) for name, sizes in listed.items())


def _load_case(folder: Path, name: str, sizes: Any, official: dict[str, Array]) -> GoldenCase:
    listing = folder / "cases.json"
    if not isinstance(sizes, dict) or not {"model", "method"} <= set(sizes):
        raise GoldenError(f"{listing}: the case {name} lacks its model or its method")
    try:
        config = from_sizes(sizes["model"], sizes["method"])
    except (ConfigError, TypeError) as error:
        raise GoldenError(f"{listing}: the case {name}: {error}") from error
    try:
        params = weights.from_official(config.network, official)
    except ValueError as error:
        raise GoldenError(
            f"{folder / 'params.npz'} does not fit the case {name}: {error}"
        ) from error
    path = folder / f"case_{name}.npz"
    arrays = _read_npz(path)
    _check_arrays(path, config, arrays, official)
    return GoldenCase(
        name=name,
        config=config,
        params=params,
        batch=Batch(arrays["x"], arrays["y"].astype(np.int32)),
        draws=Draws(
            arrays["draw_t_raw"].reshape(-1),
            arrays["draw_r_raw"].reshape(-1),
            arrays["draw_e"],
            arrays["draw_drop_uniform"],
        ),
        arrays=arrays,
        official_names={tensor.official: tensor.name for tensor in weights.tensors(config.network)},
    )


def _check_arrays(
    path: Path, config: Config, arrays: Mapping[str, Array], official: Mapping[str, Array]
) -> None:
    for name in (*INPUTS, *RESULTS):
        if name not in arrays:
            raise GoldenError(f"{path} lacks the array {name}")
    if arrays["x"].ndim != 4 or not len(arrays["x"]):
        raise GoldenError(f"{path}: x has shape {arrays['x'].shape}, expected (batch, …) images")
    rows = len(arrays["x"])
    images, times = (rows, *image_shape(config.network)), (rows, 1, 1, 1)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("x", "draw_e", *IMAGES), images)
    shapes |= dict.fromkeys(("draw_t_raw", "draw_r_raw", "jvp_t", "jvp_r"), times)
    shapes |= {"y": (rows,), "draw_drop_uniform": (rows,), "v_loss": (rows,), "loss": ()}
    shapes |= {"grad_norms": (len(official),), "grad_names": (len(official),)}
    shapes |= {f"grad/{name}": array.shape for name, array in official.items()}
    samples = (len(arrays["sample_noise"]), *images[1:])
    for name, array in arrays.items():
        is_sample = name.startswith("sample_") and not name.endswith("_times")
        expected = samples if is_sample else shapes.get(name)
        if expected is not None and array.shape != expected:
            raise GoldenError(f"{path}: {name} has shape {array.shape}, expected {expected}")
    if arrays["y"].dtype.kind not in "iu":
        raise GoldenError(f"{path}: y has dtype {arrays['y'].dtype}, expected integers")
    if samples[0] > rows:
        raise GoldenError(f"{path}: sample_noise has {samples[0]} rows, more than the labels y")
    if set(arrays["grad_names"].tolist()) != set(official):
        raise GoldenError(f"{path}: grad_names differ from the names in params.npz")
    try:
        check_labels(config, arrays["y"], f"{path}: y")
    except ValueError as error:
        raise GoldenError(str(error)) from error


def unread(case: GoldenCase) -> list[str]:
    """Names of arrays that no check reads, to be said aloud."""
    known = {*INPUTS, *RESULTS, *(f"grad/{name}" for name in case.official_names)}
    for name in case.samplers:
        known |= {name, f"{name}_times"}
    return sorted(set(case.arrays) - known)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise GoldenError(f"the golden folder lacks {path}") from error
    except (ValueError, OSError) as error:
        raise GoldenError(f"{path} is not readable JSON: {error}") from error


def _read_npz(path: Path) -> dict[str, Array]:
    """Arrays of an .npz by name; floating ones finite."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise GoldenError(f"the golden folder lacks {path}") from error
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise GoldenError(f"{path} is not a readable .npz file: {error}") from error
    for name, array in arrays.items():
        if array.dtype.kind not in "fiuU":
            raise GoldenError(f"{path}: {name} has dtype {array.dtype}, expected numbers")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise GoldenError(f"{path}: {name} holds a NaN or an infinity")
    return arrays
