"""Golden files: inputs, draws and results of the official code, in the format of its README.

A folder holds cases.json (case -> model sizes and method settings), params.npz (parameters by
official name) and one case_<name>.npz for each case.
"""

import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from impls.common import parameters
from impls.common.config import Config
from impls.common.config_files import ConfigError, from_sizes
from impls.common.draws import image_shape
from impls.common.errors import UserError
from impls.common.shapes import check_labels
from impls.common.types import Batch, Draws
from verify.cases import Array, Case

# What NumPy and zipfile raise on files that are broken, or of another kind.
_UNREADABLE = (
    ValueError, TypeError, OSError, EOFError, AttributeError, NotImplementedError, RuntimeError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
BUNDLED = Path(__file__).parent.parent / "reference" / "golden"

INPUTS = ("x", "y", "draw_t_raw", "draw_r_raw", "draw_e", "draw_drop_uniform")
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
    def dtype(self) -> Any:
        """The precision that the official code ran in."""
        return self.arrays["jvp_u"].dtype

    @property
    def samplers(self) -> list[str]:
        """Names of the stored samples, each with its `_times`."""
        return [n for n in self.arrays if n.startswith("sample_") and f"{n}_times" in self.arrays]


@dataclass(frozen=True, eq=False)
class GoldenTraining:
    """Training steps of the official code: what goes into each, and where they end."""

    name: str
    config: Config
    params: dict[str, Array]  # canonical name -> array, before the first step
    steps: tuple[tuple[Batch, Draws], ...]
    losses: Array  # [step] float32
    final: dict[str, dict[str, Array]]  # "params" and "ema" -> canonical name -> array

    @property
    def dtype(self) -> Any:
        """The precision that the official code ran in."""
        return self.losses.dtype


@dataclass(frozen=True)
class Problems:
    """What the family official is given: cases, training steps, and where they come from."""

    cases: tuple[GoldenCase, ...]
    trainings: tuple[GoldenTraining, ...]
    notes: tuple[str, ...] = ()  # sentences for the report
    settings: dict[str, int | float | str] = field(default_factory=dict)  # for its records


def stored(folder: Path | None = None) -> Problems:
    """Everything of a golden folder, the bundled one unless another is given."""
    chosen = folder or BUNDLED
    return Problems(load_golden(chosen), load_trainings(chosen))


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
    if not isinstance(sizes, dict) or not all(
        isinstance(sizes.get(key), dict) for key in ("model", "method")
    ):
        raise GoldenError(f"{listing}: the case {name} lacks its model or its method")
    config = _config(listing, name, sizes)
    params = _canonical(folder / "params.npz", "", config, official)
    path = folder / f"case_{name}.npz"
    arrays = _read_npz(path)
    _check_step(path, "", config, arrays)
    _check_results(path, config, arrays, official)
    return GoldenCase(
        name=name,
        config=config,
        params=params,
        batch=_batch(arrays),
        draws=_draws(arrays),
        arrays=arrays,
        official_names={
            tensor.official: tensor.name for tensor in parameters.tensors(config.network)
        },
    )


def load_trainings(folder: Path) -> tuple[GoldenTraining, ...]:
    """Every train_<k>_steps.npz of a golden folder, with its settings in the .json beside it.

    Raises:
        GoldenError: naming the file and the array.
    """
    return tuple(_load_training(path) for path in sorted(folder.glob("train_*_steps.npz")))


def _load_training(path: Path) -> GoldenTraining:
    settings = _read_json(path.with_suffix(".json"))
    if not isinstance(settings, dict) or not {"model", "method", "training"} <= set(settings):
        raise GoldenError(f"{path.with_suffix('.json')} lacks its model, method or training")
    config = _config(path.with_suffix(".json"), "settings", settings)
    arrays = _read_npz(path)
    steps: list[tuple[Batch, Draws]] = []
    losses: list[Array] = []
    known = {"latents", "y", "loss", *(n for n in INPUTS if n != "x")}
    for key in arrays:
        group, _, rest = key.partition("/")
        step = re.fullmatch(r"step[0-9]+", group)
        if group not in ("params", "ema") and not (step and rest in known):
            raise GoldenError(f"{path}: {key} is unknown in a file of training steps")
    num_steps = len({key.partition("/")[0] for key in arrays if key.startswith("step")})
    for i in range(num_steps):
        prefix = f"step{i}/"
        own = _within(arrays, prefix)
        _require(path, ["latents"], own, prefix)
        latents = own["x"] = own["latents"]
        _expect(
            path, f"{prefix}latents", latents, (*latents.shape[:1], *image_shape(config.network))
        )
        _check_step(path, prefix, config, own)
        _require(path, ["loss"], own, prefix)
        _expect(path, f"{prefix}loss", own["loss"], ())
        steps.append((_batch(own), _draws(own)))
        losses.append(own["loss"])
    if not steps:
        raise GoldenError(f"{path} lacks the array step0/latents")
    final = {
        kind: _canonical(path, f"{kind}/", config, _within(arrays, f"{kind}/"))
        for kind in ("params", "ema")
    }
    start = path.parent / "params.npz"
    params = _canonical(start, "", config, _read_npz(start))
    return GoldenTraining(path.stem, config, params, tuple(steps), np.array(losses), final)


def _require(
    path: Path, names: Iterable[str], arrays: Mapping[str, Array], prefix: str = ""
) -> None:
    """Refuse a file that lacks one of these arrays."""
    for name in names:
        if name not in arrays:
            raise GoldenError(f"{path} lacks the array {prefix}{name}")


def _expect(path: Path, name: str, array: Array, shape: tuple[Any, ...]) -> None:
    """Refuse an array of another shape."""
    if array.shape != shape:
        raise GoldenError(f"{path}: {name} has shape {array.shape}, expected {shape}")


def _within(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The arrays whose name begins with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _config(path: Path, name: str, sizes: dict[str, Any]) -> Config:
    try:
        return from_sizes(sizes["model"], sizes["method"], sizes.get("training"))
    except (ConfigError, TypeError, AttributeError) as error:
        raise GoldenError(f"{path}: the case {name}: {error}") from error


def _canonical(
    path: Path, prefix: str, config: Config, official: Mapping[str, Array]
) -> dict[str, Array]:
    try:
        return parameters.from_official(config.network, official)
    except ValueError as error:
        message = str(error).replace("parameter ", f"parameter {prefix}", 1)
        raise GoldenError(f"{path}: {message}") from error


def _batch(arrays: Mapping[str, Array]) -> Batch:
    return Batch(arrays["x"], arrays["y"].astype(np.int32))


def _draws(arrays: Mapping[str, Array]) -> Draws:
    return Draws(
        arrays["draw_t_raw"].reshape(-1),
        arrays["draw_r_raw"].reshape(-1),
        arrays["draw_e"],
        arrays["draw_drop_uniform"],
        np.zeros_like(arrays["draw_drop_uniform"]),  # officially r = t in the first rows
    )


def _check_step(path: Path, prefix: str, config: Config, arrays: Mapping[str, Array]) -> None:
    """Check what goes into one step: images, labels and draws."""
    _require(path, INPUTS, arrays, prefix)
    for name in INPUTS:
        if name != "y" and arrays[name].dtype.kind != "f":
            raise GoldenError(f"{path}: {prefix}{name} has dtype {arrays[name].dtype}, not float")
    if arrays["x"].ndim != 4 or not len(arrays["x"]):
        raise GoldenError(f"{path}: {prefix}x has shape {arrays['x'].shape}, expected images")
    rows = len(arrays["x"])
    images, times = (rows, *image_shape(config.network)), (rows, 1, 1, 1)
    shapes = {"x": images, "y": (rows,), "draw_e": images, "draw_drop_uniform": (rows,)}
    shapes |= {"draw_t_raw": times, "draw_r_raw": times}
    for name, expected in shapes.items():
        _expect(path, f"{prefix}{name}", arrays[name], expected)
    if arrays["y"].dtype.kind not in "iu":
        raise GoldenError(f"{path}: {prefix}y has dtype {arrays['y'].dtype}, expected integers")
    try:
        check_labels(config, arrays["y"], f"{path}: {prefix}y")
    except ValueError as error:
        raise GoldenError(str(error)) from error


def _check_results(
    path: Path, config: Config, arrays: Mapping[str, Array], official: Mapping[str, Array]
) -> None:
    """Check what came out of the official code: presence, shape, samples with their times."""
    _require(path, RESULTS, arrays)
    rows, image = len(arrays["x"]), image_shape(config.network)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(IMAGES, (rows, *image))
    shapes |= {"jvp_t": (rows, 1, 1, 1), "jvp_r": (rows, 1, 1, 1), "v_loss": (rows,), "loss": ()}
    shapes |= {"grad_norms": (len(official),), "grad_names": (len(official),)}
    shapes |= {f"grad/{name}": array.shape for name, array in official.items()}
    samples = [n for n in arrays if n.startswith("sample_") and not n.endswith("_times")]
    if samples:
        _require(path, ["sample_noise"], arrays)
        noise = arrays["sample_noise"]
        _expect(path, "sample_noise", noise, (*noise.shape[:1], *image))
        shapes |= dict.fromkeys(samples, noise.shape)
        if not 0 < len(noise) <= rows:
            raise GoldenError(f"{path}: sample_noise has {len(noise)} rows, expected 1 to {rows}")
    for name in shapes.keys() & arrays.keys():
        _expect(path, name, arrays[name], shapes[name])
    for name in samples:
        if name == "sample_noise":
            continue
        _require(path, [f"{name}_times"], arrays)
        times = arrays[f"{name}_times"]
        falls = times.ndim == 1 and len(times) > 1 and bool((np.diff(times) < 0).all())
        if not falls or (times[0], times[-1]) != (1, 0):
            where = f"{path}: {name}_times"
            raise GoldenError(f"{where} is {times.tolist()}, expected to fall from 1 to 0")
    if set(arrays["grad_names"].tolist()) != set(official):
        raise GoldenError(f"{path}: grad_names differ from the names in params.npz")


def unread(case: GoldenCase) -> list[str]:
    """Names of arrays that no check reads, to be said aloud."""
    known = {*INPUTS, *RESULTS, "sample_noise", *(f"grad/{name}" for name in case.official_names)}
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
    arrays: dict[str, Array] = {}
    name = ""
    try:
        # Opened here: np.load would leave its file open when the archive is broken.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for name in archive.files:
                arrays[name] = archive[name]
    except FileNotFoundError as error:
        raise GoldenError(f"the golden folder lacks {path}") from error
    except _UNREADABLE as error:
        inside = f" at the array {name}" if name else ""
        raise GoldenError(f"{path} is not a readable .npz file{inside}: {error}") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise GoldenError(f"{path}: {name} is not an array")
        text = name == "grad_names"
        if array.dtype.kind not in ("U" if text else "fiu"):
            expected = "text" if text else "numbers"
            raise GoldenError(f"{path}: {name} has dtype {array.dtype}, expected {expected}")
        if not text and name.rpartition("/")[2] != "y" and array.dtype.kind != "f":
            raise GoldenError(f"{path}: {name} has dtype {array.dtype}, expected float")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise GoldenError(f"{path}: {name} holds a NaN or an infinity")
    return arrays
