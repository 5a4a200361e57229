"""Training runs with every setting at once, which several checks share: step by step, cached."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from impls.common import draws
from impls.common.config import Config
from impls.common.dtypes import as_dtype
from impls.common.types import Batch, Draws
from impls.data import digits
from verify.cases import Array, Case
from verify.compare import relative_error
from verify.probe import Probe, arbiter

# A large adam_eps keeps gradients that are rounding alone from being blown up to a full step: with
# the official 1e-8 the biases of keys, whose exact gradient is zero, move by rounding alone. Some
# gradients are longer than max_grad_norm and some shorter; a cycle of the schedule starts at the
# steps 2, 4, 8 and 16, after two steps of warm-up.
EVERYTHING: dict[str, Any] = {
    "learning_rate": 0.02, "adam_b1": 0.8, "adam_b2": 0.99, "adam_eps": 1e-3, "weight_decay": 0.3,
    "ema_val": 0.6, "ema_more": (0.3, 0.9), "ema_every": 2, "schedule": "cosine",
    "warmup_steps": 2, "cycle_steps": 2, "cycle_growth": 2, "min_learning_rate": 0.004,
    "max_grad_norm": 1.0, "num_microbatches": 2,
}  # fmt: skip
NEEDS = "init_state train_step load_params export_params"


@dataclass
class Trajectory:
    """Results of a training run, NumPy."""

    logged: list[Any] = field(default_factory=list)  # Metrics of each step, else its Loss
    averages: list[tuple[dict[str, Array], ...]] = field(default_factory=list)  # of each step
    params: dict[str, Array] = field(default_factory=dict)  # at the end


def with_training(case: Case, **settings: Any) -> Config:
    """Configuration of a case with other settings of training, for its number of rows."""
    settings = {"batch_size": len(case.batch.labels), **settings}
    training = case.config.training.model_copy(update=settings)
    return case.config.model_copy(update={"training": training})


def everything(case: Case) -> Config:
    """Configuration of a case with every setting of training different from its default."""
    return with_training(case, **EVERYTHING)


def inputs(config: Config, step: int) -> tuple[Batch, Draws]:
    """Batch and draws of a step: the next digits, float32 NumPy."""
    rows, (images, labels) = config.training.batch_size, digits()
    chosen = np.arange(step * rows, (step + 1) * rows) % len(labels)
    batch = Batch(images[chosen], labels[chosen])
    return batch, draws.training_draws(config, 0, step)


def start(probe: Probe, case: Case) -> Any:
    """The subject's state before the first step."""
    config = everything(case)
    return probe.subject.init_state(config, probe.load(config, case.params).value)


def advance(probe: Probe, case: Case, state: Any, steps: range) -> tuple[Any, list[Any]]:
    """State after these steps, and what was logged; the given state's buffers may be donated."""
    config, logged = everything(case), []
    make_step = probe.stepper(config)
    for step in steps:
        step_inputs = probe.subject.put(as_dtype(inputs(config, step), probe.dtype))
        state, log = make_step(state, *step_inputs)
        logged.append(probe.subject.get(log))
    return state, logged


def follow(probe: Probe, case: Case, num_steps: int) -> Trajectory:
    """Training run of the subject from the parameters of a case."""
    found, state = Trajectory(), start(probe, case)
    config, export = everything(case), probe.subject.export_params
    for step in range(num_steps):
        state, (log,) = advance(probe, case, state, range(step, step + 1))
        found.logged.append(log)
        averages = (state.ema_params, *state.ema_more)
        found.averages.append(tuple(export(config, average) for average in averages))
    found.params = export(config, state.params)
    return found


@functools.cache
def answer(case: Case, num_steps: int) -> Trajectory:
    """Training run of the reference in float64 from the parameters of a case."""
    return follow(arbiter(), case, num_steps)


def trained(
    probe: Probe, config: Config, params: dict[str, Array], steps: Iterable[tuple[Batch, Draws]]
) -> Iterator[tuple[Any, Any]]:
    """The subject's state and Loss after each train step; first the state before, and None."""
    subject = probe.subject
    state = subject.init_state(config, probe.load(config, params).value)
    yield state, None
    for step in steps:
        state, loss = subject.train_step(config, state, *subject.put(as_dtype(step, probe.dtype)))
        yield state, subject.get(loss)


def moved_errors(
    actual: dict[str, Array], expected: dict[str, Array], begin: dict[str, Array], name: str
) -> Iterator[tuple[str, float]]:
    """Error of each tensor relative to the largest change of its entries over the run."""
    ours, theirs, start = as_dtype((actual, expected, begin), np.float64)
    for tensor, array in start.items():
        yield f"{name} {tensor}", relative_error(ours[tensor] - array, theirs[tensor] - array)
