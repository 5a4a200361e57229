"""The train step: optimizer, moving average and count of steps, at settings of no default."""

from __future__ import annotations

from typing import Any

import numpy as np

import reference
from impls.common import draws
from impls.common.config import Config
from verify.cases import Case, as_dtype
from verify.compare import Error, relative_error, worst
from verify.probe import Probe
from verify.registry import check

NUM_STEPS = 3
# A large adam_eps keeps gradients that are rounding alone from being blown up to a full step.
SETTINGS = {
    "learning_rate": 0.02, "adam_b1": 0.8, "adam_b2": 0.99, "adam_eps": 1e-3,
    "weight_decay": 0.3, "ema_val": 0.6,
}  # fmt: skip
NEEDS = "init_state train_step load_params export_params"


def _config(case: Case) -> Config:
    training = case.config.training.model_copy(update=SETTINGS)
    return case.config.model_copy(update={"training": training})


def _trained(probe: Probe, case: Case) -> dict[str, Any]:
    """Steps counted before and after, parameters and average after NUM_STEPS steps."""
    config, subject = _config(case), probe.subject
    state = subject.init_state(config, probe.load(config, case.params).value)
    steps = [int(state.step)]
    for step in range(NUM_STEPS):
        step_draws = draws.training_draws(config, 0, step, len(case.batch.labels))
        inputs = subject.put(as_dtype((case.batch, step_draws), probe.dtype))
        state, _ = subject.train_step(config, state, *inputs)
        steps.append(int(state.step))
    params, average = (
        subject.export_params(config, tree) for tree in (state.params, state.ema_params)
    )
    return {"steps": steps, "params": params, "average": average}


def _error(probe: Probe, kind: str) -> Error:
    """Worst tensor, by how far it moved: a step is judged by its own size."""
    errors: dict[str, float] = {}
    for case in probe.cases[:1]:
        actual = probe.trained(case, _trained)[kind]
        expected = Probe(reference, np.float64, ()).trained(case, _trained)[kind]
        for name, start in case.params.items():
            moved = [array[name].astype(np.float64) - start for array in (actual, expected)]
            errors[f"{case.name} {name}"] = relative_error(*moved)
    return worst(errors)


@check("training", NEEDS)
def adam_steps_match(probe: Probe) -> float:
    """Three AdamW steps, decoupled weight decay: how far each parameter tensor moved."""
    return _error(probe, "params")


@check("training", NEEDS)
def moving_average_matches(probe: Probe) -> float:
    """ema <- d ema + (1 - d) params, after each update, starting at the parameters."""
    return _error(probe, "average")


@check("training", NEEDS, exact=True)
def steps_are_counted(probe: Probe) -> float:
    """The state counts the steps made: 0, 1, 2, 3."""
    case = probe.cases[0]
    counted: list[int] = probe.trained(case, _trained)["steps"]
    return worst({"steps": float(np.abs(np.subtract(counted, range(NUM_STEPS + 1))).max())})


@check("training", f"compile_step {NEEDS}", like="moving_average_matches")
def compiled_step_is_the_train_step(probe: Probe) -> float:
    """What compile_step returns makes the same state as train_step, and logs its losses."""
    case, subject, config = probe.cases[0], probe.subject, _config(probe.cases[0])
    inputs = subject.put(as_dtype((case.batch, case.draws), probe.dtype))

    def fresh() -> Any:
        return subject.init_state(config, probe.load(config, case.params).value)

    state, metrics = subject.compile_step(config)(fresh(), *inputs)
    expected, loss = subject.train_step(config, fresh(), *inputs)
    logged, loss = subject.get((metrics, loss))
    errors = {
        "loss": relative_error(logged.loss, loss.total),
        "v_loss": relative_error(logged.v_loss, loss.v_loss.mean()),
        "step": float(abs(int(state.step) - int(expected.step))),
    }
    for kind in ("params", "ema_params"):
        one, other = (subject.export_params(config, getattr(s, kind)) for s in (state, expected))
        for name, start in case.params.items():
            moved = [array[name].astype(np.float64) - start for array in (one, other)]
            errors[f"{kind} {name}"] = relative_error(*moved)
    return worst(errors)
