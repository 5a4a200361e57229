"""Golden files: inputs, draws and results of the official code, in the format of its README.

A folder holds cases.json (case -> model sizes and method settings), params.npz (parameters by
official name) and one case_<name>.npz for each case.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from impls.common import parameters
from impls.common.config import Config
from impls.common.config_files import from_sizes
from impls.common.draws import image_shape
from impls.common.errors import ConfigError, UserError
from impls.common.shapes import check_labels
from impls.common.types import Batch, Draws
from impls.files.reading import DAMAGE
from verify.cases import Array, Case

BUNDLED = Path(__file__).parent.parent / "reference" / "golden"

DRAWS = ("draw_t_raw", "draw_r_raw", "draw_e", "draw_drop_uniform")
INPUTS = ("x", "y", *DRAWS)
IMAGES = ("jvp_z", "jvp_tangent", "jvp_u", "jvp_du_dt")
RESULTS = (*IMAGES, "jvp_t", "jvp_r", "loss", "v_loss", "grad_names", "grad_norms")
# Array -> its kinds of dtype, in letters of NumPy and in a word; every other array is floating.
KINDS = {"grad_names": ("U", "text"), "y": ("iu", "integers")}


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


@dataclass(frozen=True)
class _File:
    """Arrays of an .npz file, or those of them whose names begin with a prefix, without it."""

    path: Path
    arrays: dict[str, Array]
    prefix: str = ""

    def within(self, prefix: str) -> "_File":
        """The arrays whose names begin with another prefix."""
        found = {k.removeprefix(prefix): v for k, v in self.arrays.items() if k.startswith(prefix)}
        return _File(self.path, found, prefix)

    def require(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse a file in which one of these arrays is missing or has another shape."""
        for name, shape in shapes.items():
            found = self.array(name).shape
            if found != shape:
                raise self.wrong(name, f"has shape {found}, expected {shape}")

    def array(self, name: str) -> Array:
        """An array that has to be there."""
        if name not in self.arrays:
            raise GoldenError(f"{self.path} lacks the array {self.prefix}{name}")
        return self.arrays[name]

    def wrong(self, name: str, why: str) -> GoldenError:
        """The error that says what is wrong with an array."""
        return GoldenError(f"{self.path}: {self.prefix}{name} {why}")

    def parameters(self, config: Config) -> dict[str, Array]:
        """The arrays, which are parameters by official name, by canonical name."""
        count, depth = len(self.arrays), config.model.depth
        if depth and depth > count:  # which would take long to be named one by one
            raise GoldenError(f"{self.path}: {count} parameters are too few for {depth} blocks")
        try:
            return parameters.from_official(config.network, self.arrays)
        except (ValueError, OverflowError) as error:  # sizes beyond any array
            message = str(error).replace("parameter ", f"parameter {self.prefix}", 1)
            raise GoldenError(f"{self.path}: {message}") from error


def load_golden(folder: Path) -> tuple[GoldenCase, ...]:
    """Every case of a golden folder, each array checked for presence, shape and finite numbers.

    Raises:
        GoldenError: naming the file and the array.
    """
    if not folder.is_dir():
        raise GoldenError(f"there is no golden folder {folder}")
    listing = folder / "cases.json"
    listed = _read_json(listing)
    if not isinstance(listed, dict) or not listed:
        raise GoldenError(f"{listing} is not a mapping of cases")
    params = _read_npz(folder / "params.npz")
    return tuple(
        _load_case(_config(listing, f"the case {name}", sizes), name, params)
        for name, sizes in listed.items()
    )


def _load_case(config: Config, name: str, official: _File) -> GoldenCase:
    params = official.parameters(config)
    file = _read_npz(official.path.with_name(f"case_{name}.npz"))
    inputs = _step_of(file, config, "x")
    _check_results(file, config, official.arrays)
    names = {tensor.official: tensor.name for tensor in parameters.tensors(config.network)}
    return GoldenCase(name, config, params, *inputs, file.arrays, names)


def load_trainings(folder: Path) -> tuple[GoldenTraining, ...]:
    """Every train_<k>_steps.npz of a golden folder, with its settings in the .json beside it.

    Raises:
        GoldenError: naming the file and the array.
    """
    return tuple(_load_training(path) for path in sorted(folder.glob("train_*_steps.npz")))


def _load_training(path: Path) -> GoldenTraining:
    listing = path.with_suffix(".json")
    config = _config(listing, "the run", _read_json(listing), "training")
    file, start = _read_npz(path), _read_npz(path.with_name("params.npz"))
    of_a_step = re.compile(rf"step\d+/({'|'.join(('latents', 'y', 'loss', *DRAWS))})")
    for name in file.arrays:
        if not name.startswith(("params/", "ema/")) and not of_a_step.fullmatch(name):
            raise file.wrong(name, "is unknown in a file of training steps")
    num_steps = len({name.partition("/")[0] for name in file.arrays if name.startswith("step")})
    steps = [file.within(f"step{i}/") for i in range(max(num_steps, 1))]
    inputs = tuple(_step_of(step, config, "latents") for step in steps)
    for step in steps:
        step.require({"loss": ()})
    losses = np.array([step.arrays["loss"] for step in steps])
    final = {kind: file.within(f"{kind}/").parameters(config) for kind in ("params", "ema")}
    return GoldenTraining(path.stem, config, start.parameters(config), inputs, losses, final)


def _config(path: Path, name: str, sizes: Any, *more: str) -> Config:
    """The configuration of a mapping with the sections model and method, and perhaps more."""
    for section in ("model", "method", *more):
        if not isinstance(sizes, dict) or not isinstance(sizes.get(section), dict):
            raise GoldenError(f"{path}: {name} lacks its {section}")
    try:
        return from_sizes(sizes["model"], sizes["method"], sizes.get("training"))
    except (ConfigError, TypeError, AttributeError) as error:
        raise GoldenError(f"{path}: {name}: {error}") from error


def _step_of(file: _File, config: Config, images: str) -> tuple[Batch, Draws]:
    """What goes into one step, checked: images (the array of this name), labels and draws."""
    rows = max((1, *file.array(images).shape[:1]))
    image, times = (rows, *image_shape(config.network)), (rows, 1, 1, 1)
    file.require({
        images: image, "y": (rows,), "draw_t_raw": times, "draw_r_raw": times, "draw_e": image,
        "draw_drop_uniform": (rows,),
    })  # fmt: skip
    labels, (t, r, noise, drop) = file.arrays["y"], (file.arrays[name] for name in DRAWS)
    try:
        check_labels(config, labels, f"{file.path}: {file.prefix}y")
    except ValueError as error:
        raise GoldenError(str(error)) from error
    equal = np.zeros_like(drop)  # officially r = t in the first rows
    batch = Batch(file.arrays[images], labels.astype(np.int32))
    return batch, Draws(t.reshape(-1), r.reshape(-1), noise, drop, equal)


def _check_results(file: _File, config: Config, official: Mapping[str, Array]) -> None:
    """Check what came out of the official code: presence, shape, samples with their times."""
    rows, image = len(file.arrays["x"]), image_shape(config.network)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(IMAGES, (rows, *image))
    shapes |= {"jvp_t": (rows, 1, 1, 1), "jvp_r": (rows, 1, 1, 1), "v_loss": (rows,), "loss": ()}
    shapes |= {"grad_norms": (len(official),), "grad_names": (len(official),)}
    gradients = {f"grad/{name}": array.shape for name, array in official.items()}
    file.require(shapes | {k: shape for k, shape in gradients.items() if k in file.arrays})
    if set(file.arrays["grad_names"].tolist()) != set(official):
        raise file.wrong("grad_names", "differ from the names in params.npz")
    samples = {n for n in file.arrays if n.startswith("sample_") and not n.endswith("_times")}
    if not samples:
        return
    noise = file.array("sample_noise")
    file.require(dict.fromkeys(sorted(samples), (*noise.shape[:1], *image)))  # the noise first
    if not 0 < len(noise) <= rows:
        raise file.wrong("sample_noise", f"has {len(noise)} rows, expected 1 to {rows}")
    for name in samples - {"sample_noise"}:
        times = file.array(f"{name}_times")
        falls = times.ndim == 1 and len(times) > 1 and bool((np.diff(times) < 0).all())
        if not falls or (times[0], times[-1]) != (1, 0):
            said = f"is {times.tolist()}, expected to fall from 1 to 0"
            raise file.wrong(f"{name}_times", said)


def unread(case: GoldenCase) -> list[str]:
    """Names of arrays that no check reads, to be said aloud."""
    known = {*INPUTS, *RESULTS, "sample_noise", *(f"grad/{name}" for name in case.official_names)}
    for name in case.samplers:
        known |= {name, f"{name}_times"}
    return sorted(set(case.arrays) - known)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise GoldenError(f"the golden folder lacks {path}") from error
    except DAMAGE as error:
        raise GoldenError(f"{path} is not readable JSON: {error}") from error


def _read_npz(path: Path) -> _File:
    """Arrays of an .npz file, each of its kind, floating ones finite."""
    file, name = _File(path, {}), ""
    try:
        # Opened here: np.load would leave its file open when the archive is broken.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            for name in archive.files:
                file.arrays[name] = archive[name]
    except FileNotFoundError as error:
        raise GoldenError(f"the golden folder lacks {path}") from error
    except DAMAGE as error:
        inside = f" at the array {name}" if name else ""
        raise GoldenError(f"{path} is not a readable .npz file{inside}: {error}") from error
    for name, array in file.arrays.items():
        if not isinstance(array, np.ndarray):
            raise file.wrong(name, "is not an array")
        kinds, expected = KINDS.get(name.rpartition("/")[2], ("f", "float"))
        if array.dtype.kind not in kinds:
            raise file.wrong(name, f"has dtype {array.dtype}, expected {expected}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise file.wrong(name, "holds a NaN or an infinity")
    return file
