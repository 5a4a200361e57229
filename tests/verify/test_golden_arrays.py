"""In a golden folder each array is present, finite and of its shape and kind, or it is refused."""

import re

import numpy as np
import pytest
from golden_folders import FOLDERS, TRAINED, arrays_of, refusal_of

# Of patch_4: 5 rows, 12 x 12 x 3, 3 classes.
FILE, STEPS, PARAMS = "case_guided.npz", f"{TRAINED}.npz", "params.npz"
ARRAYS = {file: arrays_of(FOLDERS / "patch_4" / file) for file in (FILE, STEPS, PARAMS)}
STORED = ARRAYS[FILE]
BIAS = "net/x_embedder/proj/bias"

SAMPLES = ("sample_s1", "sample_s2", "sample_s4")
TIMES = tuple(f"{name}_times" for name in SAMPLES)
WITHOUT_GRADIENTS = [name for name in STORED if not name.startswith("grad/")]
SHAPED = [*WITHOUT_GRADIENTS, f"grad/{BIAS}"]
NUMBERS = [name for name in SHAPED if STORED[name].dtype.kind == "f"]
STEP_ARRAYS = [n for n in sorted(ARRAYS[STEPS]) if n.startswith("step") or n.endswith(BIAS)]


def poisoned(array, value):
    """The array with its last entry replaced."""
    changed = array.copy().reshape(-1)
    changed[-1] = value
    return changed.reshape(array.shape)


# What happens to an array, and what is said beside its name.
DAMAGE = {
    "missing": (lambda array: None, ""),
    "one more axis": (lambda array: array[None], ""),
    "column": (lambda array: array[:, None], ""),
    "short": (lambda array: array[:-1], ""),
    "nan": (lambda array: poisoned(array, np.nan), " holds a NaN"),
    "inf": (lambda array: poisoned(array, np.inf), " holds a NaN or an infinity"),
    "-inf": (lambda array: poisoned(array, -np.inf), " holds a NaN or an infinity"),
    "integers": (lambda array: array.astype(np.int64), ""),
    "text": (lambda array: array.astype("U32"), ""),
    "complex": (lambda array: array.astype(np.complex64), ""),
    "bool": (lambda array: array.astype(np.bool_), ""),
    "objects": (lambda array: array.astype(object), ""),
}
NOT_FINITE, NO_NUMBERS = ("nan", "inf", "-inf"), ("text", "complex", "bool", "objects")
DAMAGED = [
    # Samples and gradient tensors may be left out, not what belongs to a stored sample.
    (FILE, [name for name in WITHOUT_GRADIENTS if name not in SAMPLES], ("missing",)),
    (FILE, SHAPED, ("one more axis",)),
    (
        FILE,
        [n for n in SHAPED if STORED[n].ndim and n not in (*TIMES, "x", "sample_noise")],
        ("short",),
    ),
    (FILE, NUMBERS, (*NOT_FINITE, "integers")),
    (FILE, ["x", "y", "jvp_u", "loss", "grad_norms", "sample_s2_times"], NO_NUMBERS),
    (STEPS, STEP_ARRAYS, ("missing", "one more axis")),
    (STEPS, [name for name in STEP_ARRAYS if not name.endswith("/y")], ("nan",)),
    (PARAMS, [BIAS], ("missing", "short", "column", "nan", "inf", "integers", "text", "objects")),
]


@pytest.mark.parametrize(
    ("file", "name", "damage"),
    [(file, name, kind) for file, names, kinds in DAMAGED for name in names for kind in kinds],
)
def test_a_damaged_array_is_named(file, name, damage, tmp_path):
    change, says = DAMAGE[damage]
    message = refusal_of(tmp_path, file, **{name: change(ARRAYS[file][name])})
    assert re.search(rf"(?<!\w){re.escape(name)}(?!\w){says}", message)


def changed(names, change):
    return {name: change(STORED[name]) for name in names}


NO_ROWS = tuple(n for n, a in STORED.items() if a.shape[:1] == (5,) and "times" not in n)
NOISE = ("sample_noise", *SAMPLES)
Y, STEP_Y, NAMES = STORED["y"], ARRAYS[STEPS]["step1/y"], STORED["grad_names"]


@pytest.mark.parametrize(
    ("file", "changes", "says"),
    [
        (FILE, {"y": Y.astype(np.float32)}, "y has dtype float32, expected integers"),
        *(
            (FILE, {"y": poisoned(Y, label)}, f"y holds the label {label}, expected 0 .. 2")
            for label in (-1, 3, 2**31 - 1)
        ),
        *(  # which must not wrap around
            (FILE, {"y": poisoned(Y.astype(dtype), 2**32)}, "y holds the label 4294967296")
            for dtype in (np.int64, np.uint64)
        ),
        *(
            (STEPS, {"step1/y": poisoned(STEP_Y, label)}, f"step1/y holds the label {label}")
            for label in (-1, 3)
        ),
        # Of two arrays that disagree the first one says how many rows there are.
        (FILE, {"x": STORED["x"][:-1]}, "y has shape (5,), expected (4,)"),
        (FILE, {"sample_noise": STORED["sample_noise"][:-1]}, "sample_s1 has shape (4, 12, 12, 3)"),
        (FILE, changed(NO_ROWS, lambda array: array[:0]), "x has shape (0, 12, 12, 3)"),
        (FILE, changed(NOISE, lambda a: np.concatenate([a, a])), "sample_noise has 8 rows"),
        (FILE, changed(NOISE, lambda array: array[:0]), "sample_noise has 0 rows"),
        (FILE, {"sample_noise": np.float32(1)}, "sample_noise"),
        (FILE, {"grad_names": np.append(NAMES[1:], NAMES[-1])}, "grad_names"),
        (PARAMS, {f"{BIAS}2": ARRAYS[PARAMS][BIAS]}, f"{BIAS}2"),
        *(
            (STEPS, {name: np.ones(3, np.float32)}, name)
            for name in ("step2/latents", "step1/noise", "optimizer/count", "ema/net")
        ),
    ],
)
def test_what_does_not_fit_together_is_said(file, changes, says, tmp_path):
    assert says in refusal_of(tmp_path, file, **changes)


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
def test_times_that_do_not_fall_from_1_to_0_are_refused(name, times, tmp_path):
    message = refusal_of(tmp_path, FILE, **{name: np.asarray(times, np.float32)})
    assert name in message
    assert "fall" in message
