"""An array of the wrong shape or kind is named, with what it is and what was expected."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from impls.common.config import Config
from impls.common.shapes import check_labels, check_sampling, check_step
from impls.common.types import Batch, Draws
from verify.cases import Case

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
    (),
    (1.0,),
    (0.0, 1.0),
    (1.0, 0.1),
    (0.9, 0.0),
    (1.0, 0.5, 0.5, 0.0),
    (1.0, 0.2, 0.4, 0.0),
    (1.0, float("nan"), 0.0),
]


def replaced(case: Case, name: str, change: Any) -> tuple[Batch, Draws]:
    """The inputs of a step, one array of them changed."""
    batch, draws = case.batch, case.draws
    if name in Batch._fields:
        return batch._replace(**{name: change(getattr(batch, name))}), draws
    return batch, draws._replace(**{name: change(getattr(draws, name))})


def shape_message(name: str, got: str, expected: str) -> str:
    hint = IMAGE_HINT if name in ("images", "noise") else TIME_HINT
    # JAX may say below the message that it shortened the traceback.
    return f"^{name} has shape {re.escape(got)}, expected {re.escape(expected)}: .*{hint}(\\n|$)"


# One step of the objective


def test_a_step_of_the_right_shapes_is_accepted(case: Case) -> None:
    check_step(case.config, case.batch, case.draws)


@pytest.mark.parametrize(("name", "change", "got", "expected"), WRONG_SHAPES)
def test_a_wrong_shape_is_named_with_what_was_expected(
    case: Case, name: str, change: Any, got: str, expected: str
) -> None:
    batch, draws = replaced(case, name, change)
    with pytest.raises(ValueError, match=shape_message(name, got, expected)):
        check_step(case.config, batch, draws)


@pytest.mark.parametrize(("name", "change", "got", "expected"), WRONG_SHAPES)
def test_no_implementation_broadcasts_a_wrong_shape(
    subject: ModuleType, case: Case, name: str, change: Any, got: str, expected: str
) -> None:
    params = subject.load_params(case.config, case.params)
    batch, draws = subject.put(replaced(case, name, change))
    with pytest.raises(ValueError, match=shape_message(name, got, expected)):
        subject.loss(case.config, params, batch, draws)
    with pytest.raises(ValueError, match=shape_message(name, got, expected)):
        subject.loss_and_gradient(case.config, params, batch, draws)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("dtype", [np.int32, bool])
def test_whole_numbers_where_reals_belong_are_named(
    subject: ModuleType, case: Case, name: str, dtype: type
) -> None:
    batch, draws = replaced(case, name, lambda array: array.astype(dtype))
    with pytest.raises(ValueError, match=rf"^{name} has dtype \w+, expected float"):
        check_step(case.config, batch, draws)
    params = subject.load_params(case.config, case.params)
    with pytest.raises(ValueError, match=rf"^{name} has dtype [\w.]+, expected float"):
        subject.loss(case.config, params, *subject.put((batch, draws)))


@pytest.mark.parametrize("dtype", [np.float32, bool])
def test_labels_that_are_no_whole_numbers_are_named(
    subject: ModuleType, case: Case, dtype: type
) -> None:
    batch, draws = replaced(case, "labels", lambda array: array.astype(dtype))
    with pytest.raises(ValueError, match=r"^labels has dtype \w+, expected int"):
        check_step(case.config, batch, draws)
    params = subject.load_params(case.config, case.params)
    with pytest.raises(ValueError, match=r"^labels has dtype [\w.]+, expected int"):
        subject.loss(case.config, params, *subject.put((batch, draws)))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_labels_of_any_whole_numbers_are_accepted(case: Case, dtype: type) -> None:
    check_step(case.config, *replaced(case, "labels", lambda array: array.astype(dtype)))


# Sampling


@pytest.mark.parametrize("times", [(1, 0), (1.0, 0.5, 0.0), np.linspace(1, 0, 5)])
def test_times_that_fall_from_one_to_zero_are_accepted(case: Case, times: Any) -> None:
    check_sampling(case.config, case.draws.noise, case.batch.labels, times)


@pytest.mark.parametrize("times", WRONG_TIMES)
def test_times_that_do_not_fall_from_one_to_zero_are_listed(
    subject: ModuleType, case: Case, times: tuple[float, ...]
) -> None:
    message = f"^times are {re.escape(str(list(times)))}, expected numbers that fall from 1 to 0$"
    noise, labels = case.draws.noise, case.batch.labels
    with pytest.raises(ValueError, match=message):
        check_sampling(case.config, noise, labels, times)
    params = subject.load_params(case.config, case.params)
    with pytest.raises(ValueError, match=message):
        subject.sample(case.config, params, *subject.put((noise, labels)), times)


def test_sampling_names_a_wrong_array(subject: ModuleType, case: Case) -> None:
    params = subject.load_params(case.config, case.params)
    noise, labels = case.draws.noise, case.batch.labels
    wrong = {
        r"^noise has shape \(4, 4, 4\), expected \(4, 4, 4, 1\)": (noise[..., 0], labels),
        r"^labels has shape \(3,\), expected \(4,\)": (noise, labels[:3]),
        r"^noise has dtype [\w.]*int32, expected float": (noise.astype(np.int32), labels),
        r"^labels has dtype [\w.]*float32, expected int": (noise, labels.astype(np.float32)),
    }
    for message, arrays in wrong.items():
        with pytest.raises(ValueError, match=message):
            check_sampling(case.config, *arrays, (1, 0))
        with pytest.raises(ValueError, match=message):
            subject.sample(case.config, params, *subject.put(arrays), (1, 0))


# Labels


@pytest.mark.parametrize("label", [-1, 10, 2**31 - 1])
def test_a_label_out_of_range_is_named(tiny: Config, label: int) -> None:
    labels = np.array([[0, 9], [label, 3]], np.int32)
    message = rf"^the file y holds the label {label}, expected 0 \.\. 9 for 10 classes$"
    with pytest.raises(ValueError, match=message):
        check_labels(tiny, labels, "the file y")


@pytest.mark.parametrize("labels", [range(10), [], [0], [9]])
def test_every_label_of_the_data_set_is_accepted(tiny: Config, labels: Any) -> None:
    check_labels(tiny, np.array(labels, np.int32))
