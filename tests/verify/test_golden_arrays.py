"""In a golden folder each array is present, finite and of its shape and kind, or it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_folders import FOLDERS, TRAINED, arrays_of, refusal_of

FILE, STEPS = "case_guided.npz", f"{TRAINED}.npz"  # of patch_4: 5 rows, 12 x 12 x 3, 3 classes
STORED = arrays_of(FOLDERS / "patch_4" / FILE)
TRAINING = arrays_of(FOLDERS / "patch_4" / STEPS)
PARAMETERS = arrays_of(FOLDERS / "patch_4" / "params.npz")
BIAS = "net/x_embedder/proj/bias"
FIRST_GRADIENT = f"grad/{BIAS}"

SAMPLES = ("sample_s1", "sample_s2", "sample_s4")
TIMES = tuple(f"{name}_times" for name in SAMPLES)
# Samples and gradient tensors may be left out, not what belongs to a stored sample.
REQUIRED = [name for name in STORED if not name.startswith("grad/") and name not in SAMPLES]
STEP_ARRAYS = [n for n in sorted(TRAINING) if n.startswith("step") or n.endswith(BIAS)]
SHAPED = [name for name in STORED if not name.startswith("grad/")] + [FIRST_GRADIENT]
NUMBERS = [name for name in SHAPED if STORED[name].dtype.kind == "f"]


def poisoned(array: Any, value: float) -> Any:
    """The array with its last entry replaced."""
    changed = array.copy().reshape(-1)
    changed[-1] = value
    return changed.reshape(array.shape)


# ------------------------------------------------------------------------------------ a case


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_array_is_named(name: str, tmp_path: Path) -> None:
    assert name in refusal_of(tmp_path, FILE, **{name: None})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", NUMBERS)
def test_an_array_that_is_not_finite_is_named(name: str, value: float, tmp_path: Path) -> None:
    message = refusal_of(tmp_path, FILE, **{name: poisoned(STORED[name], value)})
    assert f"{name} " in message


@pytest.mark.parametrize("name", SHAPED)
def test_an_array_of_another_shape_is_named(name: str, tmp_path: Path) -> None:
    assert name in refusal_of(tmp_path, FILE, **{name: STORED[name][None]})


@pytest.mark.parametrize("name", [n for n in SHAPED if STORED[n].ndim and n not in TIMES])
def test_an_array_with_a_row_too_few_is_named(name: str, tmp_path: Path) -> None:
    changed = STORED[name][:-1]
    message = refusal_of(tmp_path, FILE, **{name: changed})
    # Of two arrays that disagree, either may be the one that is said to be wrong.
    assert f"{name} " in message or f"{len(changed)}" in message


@pytest.mark.parametrize("name", NUMBERS)
def test_integers_for_numbers_are_refused(name: str, tmp_path: Path) -> None:
    assert name in refusal_of(tmp_path, FILE, **{name: STORED[name].astype(np.int64)})


@pytest.mark.parametrize("dtype", ["U32", np.complex64, np.bool_, object])
@pytest.mark.parametrize("name", ["x", "y", "jvp_u", "loss", "grad_norms", "sample_s2_times"])
def test_an_array_of_no_numbers_is_named(name: str, dtype: Any, tmp_path: Path) -> None:
    assert name in refusal_of(tmp_path, FILE, **{name: STORED[name].astype(dtype)})


def test_labels_that_are_not_integers_are_refused(tmp_path: Path) -> None:
    message = refusal_of(tmp_path, FILE, y=STORED["y"].astype(np.float32))
    assert "y has dtype float32, expected integers" in message


@pytest.mark.parametrize("label", [-1, 3, 2**31 - 1])
def test_a_label_out_of_range_is_named(label: int, tmp_path: Path) -> None:
    message = refusal_of(tmp_path, FILE, y=poisoned(STORED["y"], label))
    assert f"y holds the label {label}, expected 0 .. 2" in message


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_a_label_beyond_32_bits_does_not_wrap_around(dtype: Any, tmp_path: Path) -> None:
    labels = poisoned(STORED["y"].astype(dtype), 2**32)
    assert "y holds the label 4294967296" in refusal_of(tmp_path, FILE, y=labels)


def test_an_empty_batch_is_refused(tmp_path: Path) -> None:
    rows = {name: array for name, array in STORED.items() if array.shape[:1] == (5,)}
    changes = {name: array[:0] for name, array in rows.items() if "times" not in name}
    assert "x has shape (0, 12, 12, 3)" in refusal_of(tmp_path, FILE, **changes)


def test_more_sample_noise_than_labels_is_refused(tmp_path: Path) -> None:
    names = ("sample_noise", *SAMPLES)
    changes = {name: np.concatenate([STORED[name]] * 2) for name in names}
    assert "sample_noise has 8 rows" in refusal_of(tmp_path, FILE, **changes)


def test_empty_sample_noise_is_refused(tmp_path: Path) -> None:
    changes = {name: STORED[name][:0] for name in ("sample_noise", *SAMPLES)}
    assert "sample_noise has 0 rows" in refusal_of(tmp_path, FILE, **changes)


def test_sample_noise_that_is_a_number_is_refused(tmp_path: Path) -> None:
    assert "sample_noise" in refusal_of(tmp_path, FILE, sample_noise=np.float32(1))


@pytest.mark.parametrize(
    "times",
    [
        [0.0, 0.5, 1.0],  # rising
        [1.0, 0.5, 0.5, 0.0],  # standing still
        [1.0, 0.5, 0.1],  # not down to 0
        [0.9, 0.5, 0.0],  # not from 1
        [1.0],
        [],
        [[1.0, 0.5, 0.0]],
    ],
)
@pytest.mark.parametrize("name", TIMES)
def test_times_that_do_not_fall_from_1_to_0_are_refused(
    name: str, times: Any, tmp_path: Path
) -> None:
    message = refusal_of(tmp_path, FILE, **{name: np.asarray(times, np.float32)})
    assert name in message
    assert "fall" in message


def test_gradient_names_that_are_no_parameters_are_refused(tmp_path: Path) -> None:
    names = STORED["grad_names"].copy()
    names[0] = names[1]
    assert "grad_names" in refusal_of(tmp_path, FILE, grad_names=names)


# -------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    "change",
    [
        {BIAS: None},
        {BIAS: PARAMETERS[BIAS][:-1]},
        {BIAS: PARAMETERS[BIAS][:, None]},
        {BIAS: poisoned(PARAMETERS[BIAS], np.nan)},
        {BIAS: poisoned(PARAMETERS[BIAS], np.inf)},
        {BIAS: PARAMETERS[BIAS].astype(np.int32)},
        {BIAS: PARAMETERS[BIAS].astype("U32")},
        {BIAS: PARAMETERS[BIAS].astype(object)},
        {f"{BIAS}2": PARAMETERS[BIAS]},
    ],
    ids=["missing", "short", "column", "nan", "inf", "integers", "text", "objects", "unknown"],
)
def test_a_wrong_parameter_is_named(change: dict[str, Any], tmp_path: Path) -> None:
    [name] = change
    assert name in refusal_of(tmp_path, "params.npz", **change)


# ---------------------------------------------------------------------------- training steps


@pytest.mark.parametrize("name", STEP_ARRAYS)
def test_a_missing_training_array_is_named(name: str, tmp_path: Path) -> None:
    assert name in refusal_of(tmp_path, STEPS, **{name: None})


@pytest.mark.parametrize("name", STEP_ARRAYS)
def test_a_training_array_of_another_shape_is_named(name: str, tmp_path: Path) -> None:
    assert name in refusal_of(tmp_path, STEPS, **{name: TRAINING[name][None]})


@pytest.mark.parametrize("name", [n for n in STEP_ARRAYS if not n.endswith("/y")])
def test_a_training_array_that_is_not_finite_is_named(name: str, tmp_path: Path) -> None:
    message = refusal_of(tmp_path, STEPS, **{name: poisoned(TRAINING[name], np.nan)})
    assert f"{name} holds a NaN" in message


@pytest.mark.parametrize("name", ["step2/latents", "step1/noise", "optimizer/count", "ema/net"])
def test_an_unknown_training_array_is_named(name: str, tmp_path: Path) -> None:
    assert name in refusal_of(tmp_path, STEPS, **{name: np.ones(3, np.float32)})


@pytest.mark.parametrize("label", [-1, 3])
def test_a_training_label_out_of_range_is_named(label: int, tmp_path: Path) -> None:
    labels = poisoned(TRAINING["step1/y"], label)
    assert f"step1/y holds the label {label}" in refusal_of(tmp_path, STEPS, **{"step1/y": labels})
