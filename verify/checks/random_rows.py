"""Rows of r = t that are random: method.equal_rows "random"."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from verify.cases import Case
from verify.compare import mismatches, relative_error, row_error, used_derivative, worst
from verify.probe import Probe
from verify.registry import check

STEP = "loss_and_gradient load_params export_params"


@functools.cache
def _random(case: Case, data_proportion: float = 0.5) -> Case:
    """The case with r = t in every other row; r < t in the first, which lose their labels."""
    settings = {"data_proportion": data_proportion, "class_dropout_prob": 0.5}
    method = case.config.method.model_copy(update={"equal_rows": "random", **settings})
    uniforms = np.resize(np.array([0.75, 0.25, 0.5, 0.0], np.float32), len(case.batch.labels))
    return replace(
        case,
        name=f"{case.name}, random rows",
        config=case.config.model_copy(update={"method": method}),
        draws=case.draws._replace(equal_uniform=uniforms),
    )


@check("objective", "times", exact=True)
def random_rows_have_equal_times(probe: Probe) -> float:
    """With equal_rows random, r = t where equal_uniform is below data_proportion, not at it."""
    errors = {}
    for proportion in (0.0, 0.25, 0.5, 1.0):
        case = _random(probe.cases[0], proportion)
        t, r = probe.call("times", case.config, case.draws)
        equal = case.draws.equal_uniform < np.float32(proportion)
        errors[f"data_proportion {proportion}"] = float(np.sum((t == r) != equal))
    return worst(errors)


@check("objective", STEP)
def loss_with_random_rows_matches(probe: Probe) -> float:
    """With equal_rows random: every quantity on the way to the loss, in every row."""
    case = _random(probe.cases[0])
    found, expected = (
        loss._replace(du_dt=used_derivative(loss)) for loss in (probe.step(case)[0], case.step[0])
    )
    errors = {}
    for field, array in expected._asdict().items():
        compare = mismatches if field == "labels_in" else row_error
        errors[field] = compare(getattr(found, field), array)
    return worst(errors)


@check("gradient", STEP)
def gradient_with_random_rows_matches(probe: Probe) -> float:
    """With equal_rows random: every gradient tensor."""
    case = _random(probe.cases[0])
    gradient, expected = probe.step(case)[1], case.step[1]
    return worst({name: relative_error(gradient[name], expected[name]) for name in expected})
