"""An array of the wrong shape or kind is named, with what it is and what was expected."""

import re

import numpy as np
import pytest

from impls.common.shapes import check_labels, check_sampling, check_step
from impls.common.types import Batch

TIME_HINT = "the objective adds the image axes"
IMAGE_HINT = r"images are \[batch, height, width, channel\]"

# argument, what is made of it, what is got, what was expected
WRONG_SHAPES = [
    ("images", lambda x: x[0], "(4, 4, 1)", "(4, 4, 4, 1)"),
    ("images", lambda x: x[..., 0], "(4, 4, 4)", "(4, 4, 4, 1)"),
    ("images", lambda x: x.transpose(0, 3, 1, 2), "(4, 1, 4, 4)", "(4, 4, 4, 1)"),
    ("images", lambda x: x[:, :3], "(4, 3, 4, 1)", "(4, 4, 4, 1)"),
    ("images", lambda x: x[0, 0, 0, 0], "()", "(0, 4, 4, 1)"),
    ("labels", lambda x: x[:3], "(3,)", "(4,)"),
    ("labels", lambda x: x[:1], "(1,)", "(4,)"),
    ("labels", lambda x: x[:, None], "(4, 1)", "(4,)"),
    ("t_raw", lambda x: x[:, None, None, None], "(4, 1, 1, 1)", "(4,)"),
    ("t_raw", lambda x: x[0], "()", "(4,)"),
    ("r_raw", lambda x: x[:1], "(1,)", "(4,)"),
    ("noise", lambda x: x[:1], "(1, 4, 4, 1)", "(4, 4, 4, 1)"),
    ("noise", lambda x: x.reshape(4, 16), "(4, 16)", "(4, 4, 4, 1)"),
    ("drop_uniform", lambda x: x[:, None], "(4, 1)", "(4,)"),
    ("equal_uniform", lambda x: x[:1], "(1,)", "(4,)"),
]
FLOATS = ("images", "t_raw", "r_raw", "noise", "drop_uniform", "equal_uniform")
WRONG_TIMES = [
    (), (1.0,), (0.0, 1.0), (1.0, 0.1), (0.9, 0.0), (1.0, 0.5, 0.5, 0.0), (1.0, 0.2, 0.4, 0.0),
    (1.0, float("nan"), 0.0),
]  # fmt: skip


def replaced(case, name, change):
    """The inputs of a step, one array of them changed."""
    batch, draws = case.batch, case.draws
    if name in Batch._fields:
        return batch._replace(**{name: change(getattr(batch, name))}), draws
    return batch, draws._replace(**{name: change(getattr(draws, name))})


def refused(subject, case, batch, draws, message):
    """The check alone and every function that computes a loss say the message."""
    with pytest.raises(ValueError, match=message):
        check_step(case.config, batch, draws)
    params, inputs = subject.load_params(case.config, case.params), subject.put((batch, draws))
    for function in (subject.loss, subject.loss_and_gradient):
        with pytest.raises(ValueError, match=message):
            function(case.config, params, *inputs)


# One step of the objective


@pytest.mark.parametrize(("name", "change", "got", "expected"), WRONG_SHAPES)
def test_a_wrong_shape_is_named_with_what_was_expected(subject, case, name, change, got, expected):
    hint = IMAGE_HINT if name in ("images", "noise") else TIME_HINT
    # JAX may say below the message that it shortened the traceback.
    says = f"^{name} has shape {re.escape(got)}, expected {re.escape(expected)}: .*{hint}(\n|$)"
    refused(subject, case, *replaced(case, name, change), says)


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [(name, dtype, "float") for name in FLOATS for dtype in (np.int32, bool)]
    + [("labels", dtype, "int") for dtype in (np.float32, bool)],
)
def test_an_array_of_another_kind_is_named(subject, case, name, dtype, expected):
    changed = replaced(case, name, lambda array: array.astype(dtype))
    refused(subject, case, *changed, rf"^{name} has dtype [\w.]+, expected {expected}")


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_labels_of_any_whole_numbers_are_accepted(case, dtype):
    check_step(case.config, *replaced(case, "labels", lambda array: array.astype(dtype)))


# Sampling


@pytest.mark.parametrize("times", [(1, 0), (1.0, 0.5, 0.0), np.linspace(1, 0, 5)])
def test_times_that_fall_from_one_to_zero_are_accepted(case, times):
    check_sampling(case.config, case.draws.noise, case.batch.labels, times)


WRONG_SAMPLINGS = [
    (f"^times are {re.escape(str(list(times)))}, expected numbers that fall from 1 to 0$",
     {"times": times}) for times in WRONG_TIMES
] + [
    (r"^noise has shape \(4, 4, 4\), expected \(4, 4, 4, 1\)", {"noise": lambda x: x[..., 0]}),
    (r"^labels has shape \(3,\), expected \(4,\)", {"labels": lambda x: x[:3]}),
    (r"^noise has dtype [\w.]*int32, expected float", {"noise": lambda x: x.astype(np.int32)}),
    (r"^labels has dtype [\w.]*float32, expected int", {"labels": lambda x: x.astype(np.float32)}),
]  # fmt: skip


@pytest.mark.parametrize(("message", "changes"), WRONG_SAMPLINGS)
def test_sampling_names_wrong_times_and_arrays(subject, case, message, changes):
    noise, labels = (
        changes.get(name, np.asarray)(array)
        for name, array in (("noise", case.draws.noise), ("labels", case.batch.labels))
    )
    times = changes.get("times", (1, 0))
    with pytest.raises(ValueError, match=message):
        check_sampling(case.config, noise, labels, times)
    params = subject.load_params(case.config, case.params)
    with pytest.raises(ValueError, match=message):
        subject.sample(case.config, params, *subject.put((noise, labels)), times)


# Labels


@pytest.mark.parametrize("label", [-1, 10, 2**31 - 1])
def test_a_label_out_of_range_is_named(tiny, label):
    labels = np.array([[0, 9], [label, 3]], np.int32)
    message = rf"^the file y holds the label {label}, expected 0 \.\. 9 for 10 classes$"
    with pytest.raises(ValueError, match=message):
        check_labels(tiny, labels, "the file y")


@pytest.mark.parametrize("labels", [range(10), [], [0], [9]])
def test_every_label_of_the_data_set_is_accepted(tiny, labels):
    check_labels(tiny, np.array(labels, np.int32))
