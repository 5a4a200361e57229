"""Training step with default settings: Adam, the EMA and the step count."""

from typing import Any

import numpy as np

from impls.common import draws
from verify.cases import Array, Case, with_method
from verify.probe import Probe, arbiter
from verify.registry import Errors, check, checks
from verify.trajectory import NEEDS, moved_errors, trained, with_training
from verify.variations import compound

NUM_STEPS = 3
# A large adam_eps keeps gradients that are rounding alone from being blown up to a full step.
SETTINGS = {
    "learning_rate": 0.02, "adam_b1": 0.8, "adam_b2": 0.99, "adam_eps": 1e-3,
    "weight_decay": 0.3, "ema_val": 0.6,
}  # fmt: skip
# 1/10, 2/11 and 3/12 are the most that the decays of the first three updates may be.
WARMED_UP: dict[str, Any] = {
    **SETTINGS, "ema_warmup": True, "ema_val": 0.15, "ema_more": (0.22, 0.9), "ema_every": 2,
}  # fmt: skip
NUM_WARMED_UP = 6


def _trained(probe: Probe, case: Case) -> dict[str, Any]:
    """Steps counted before and after, parameters and average after NUM_STEPS steps."""
    config, counted = with_training(case, **SETTINGS), []
    rows = len(case.batch.labels)
    inputs = ((case.batch, draws.training_draws(config, 0, i, rows)) for i in range(NUM_STEPS))
    for state, _ in trained(probe, config, case.params, inputs):
        counted.append(int(state.step))
    trees = {"params": state.params, "average": state.ema_params}
    exported = {kind: probe.subject.export_params(config, tree) for kind, tree in trees.items()}
    return {"steps": counted, **exported}


MOVED = {
    "adam_steps_match":
        ("Three AdamW steps, decoupled weight decay: how far each parameter tensor moved.",
         "params"),
    "moving_average_matches":
        ("ema <- d ema + (1 - d) params, after each update, starting at the parameters.",
         "average"),
}  # fmt: skip


@checks(NEEDS, MOVED)
def steps_match(probe: Probe, kind: str) -> Errors:
    """Error of each tensor, relative to its largest change in these steps."""
    case = probe.cases[0]
    actual, expected = (p.trained(case, _trained)[kind] for p in (probe, arbiter()))
    return moved_errors(actual, expected, case.params, case.name)


@check(NEEDS)
def averages_warm_up(probe: Probe) -> Errors:
    """With ema_warmup update k = 0, 1, … of an average has the decay min(d, (1 + k) / (10 + k))."""
    case = probe.cases[0]
    found, expected = (p.trained(case, _warmed_up) for p in (probe, arbiter()))
    decays = (WARMED_UP["ema_val"], *WARMED_UP["ema_more"])
    for decay, ours, theirs in zip(decays, found, expected, strict=True):
        yield from moved_errors(ours, theirs, case.params, f"decay {decay}:")


def _warmed_up(probe: Probe, case: Case) -> list[dict[str, Array]]:
    """The averages after NUM_WARMED_UP steps."""
    # Without guidance, which plays no part in this, a framework compiles it in half the time.
    config = with_method(with_training(case, **WARMED_UP), guidance_eq="none")
    rows = len(case.batch.labels)
    inputs = ((case.batch, draws.training_draws(config, 0, i, rows)) for i in range(NUM_WARMED_UP))
    *_, (state, _) = trained(probe, config, case.params, inputs)
    averages = (state.ema_params, *state.ema_more)
    return [probe.subject.export_params(config, average) for average in averages]


@check(f"{NEEDS} ablations", like="steps_with_every_setting_match")
def tangent_gradient_rises_with_the_steps(probe: Probe) -> Errors:
    """With tangent_gradient_steps T step k trains with tangent_gradient min(1, k / T)."""
    case = compound(probe)[0]
    found, expected = (p.trained(case, _with_rising_share) for p in (probe, arbiter()))
    return moved_errors(found, expected, case.params, case.name)


def _with_rising_share(probe: Probe, case: Case) -> dict[str, Array]:
    """The parameters after as many steps as the share takes to rise, and one."""
    settings = {"tangent_gradient": 1.0, "tangent_gradient_steps": 2, "guidance_eq": "none"}
    config = with_method(with_training(case, learning_rate=0.02, adam_eps=1e-3), **settings)
    rows = len(case.batch.labels)
    inputs = ((case.batch, draws.training_draws(config, 0, i, rows)) for i in range(3))
    *_, (state, _) = trained(probe, config, case.params, inputs)
    exported: dict[str, Array] = probe.subject.export_params(config, state.params)
    return exported


@check(NEEDS, exact=True)
def steps_are_counted(probe: Probe) -> float:
    """The state counts the steps made: 0, 1, 2, 3."""
    case = probe.cases[0]
    counted: list[int] = probe.trained(case, _trained)["steps"]
    return float(np.abs(np.subtract(counted, range(NUM_STEPS + 1))).max())
