"""Learning rate schedule, gradient clipping, gradient accumulation."""

from typing import Any

import numpy as np

import reference
from impls.common.dtypes import as_dtype
from verify.cases import with_method
from verify.compare import loss_errors, relative_error, tensor_errors
from verify.probe import Host, Probe
from verify.registry import Errors, check
from verify.trajectory import with_training

# name -> settings of training; each is looked at at STEPS.
SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {},
    "warm-up": {"warmup_steps": 7},
    "warm-up of one step": {"warmup_steps": 1},
    "one cosine": {"schedule": "cosine", "num_steps": 30},
    "one cosine after warm-up": {"schedule": "cosine", "num_steps": 30, "warmup_steps": 5},
    "no step after warm-up": {"schedule": "cosine", "num_steps": 9, "warmup_steps": 9},
    "restarts": {"schedule": "cosine", "cycle_steps": 6, "min_learning_rate": 3e-4},
    "longer restarts": {
        "schedule": "cosine", "cycle_steps": 3, "cycle_growth": 2, "warmup_steps": 4,
        "min_learning_rate": 3e-4,
    },
    "cycles of one step": {"schedule": "cosine", "cycle_steps": 1, "cycle_growth": 3},
}  # fmt: skip
STEPS = (*range(41), 1000, 100_003)


@check("learning_rate")
def learning_rate_matches(probe: Probe) -> Errors:
    """Warm-up, constant, and cosine with restarts that grow or not: the rate of each update."""
    for name, settings in SCHEDULES.items():
        config = with_training(probe.cases[0], learning_rate=1e-3, **settings)
        rates = [probe.call("learning_rate", config, Host(step)) for step in STEPS]
        expected = [reference.learning_rate(config, step) for step in STEPS]
        yield name, relative_error(np.array(rates), np.array(expected))


@check("clip_gradient load_params export_params")
def clipped_gradient_matches(probe: Probe) -> Errors:
    """Longer gradients are scaled to max_grad_norm, shorter ones kept; the norm is that before."""
    case = probe.cases[0]
    gradient = case.step[1]
    norm = float(reference.clip_gradient(case.config, gradient)[1])
    zeros = {name: np.zeros_like(array) for name, array in gradient.items()}
    for limit, given in ((None, gradient), (norm / 3, gradient), (norm * 3, gradient), (1, zeros)):
        config = with_training(case, max_grad_norm=limit)
        loaded = probe.load(config, given).value
        clipped, length = probe.subject.clip_gradient(config, loaded)
        found = probe.subject.export_params(config, clipped)
        expected, expected_length = reference.clip_gradient(config, given)
        at = "gradient zero" if given is zeros else f"limit {limit and round(limit, 2)}"
        yield f"{at}: norm", relative_error(probe.subject.get(length), expected_length)
        yield from tensor_errors(found, expected, f"{at}:")


# Without guidance, which plays no part in this, a framework compiles it in half the time.
PARTS: dict[str, Any] = {
    "guidance_eq": "none", "data_proportion": 0.5, "class_dropout_prob": 0.5,
}  # fmt: skip
NUM_PARTS = 4  # steps_with_every_setting_match has two


@check("accumulate load_params export_params")
def parts_of_a_batch_match(probe: Probe) -> Errors:
    """A batch in four parts, each with first rows of r = t and of no label; their mean gradient."""
    case = probe.cases[0]
    config = with_method(with_training(case, num_microbatches=NUM_PARTS), **PARTS)
    narrow = (case.batch, case.draws)
    arguments = probe.subject.put(as_dtype(narrow, probe.dtype))
    params = probe.load(config, case.params).value
    loss, gradient = probe.subject.accumulate(config, params, *arguments)
    loss, found = probe.subject.get(loss), probe.subject.export_params(config, gradient)
    wide = as_dtype((case.params, *narrow), np.float64)
    expected, expected_gradient = reference.accumulate(config, *wide)
    yield from loss_errors(loss, expected)
    yield from tensor_errors(found, expected_gradient)
