"""Two implementations compared directly with each other, without the reference."""

from typing import Any

import numpy as np

from verify.cases import Array, Case
from verify.checks.checkpoint import state_mismatches
from verify.checks.objective.loss import LOSS, STEP, field_error
from verify.compare import relative_error, row_error, tensor_errors
from verify.probe import Host, Probe, both
from verify.registry import Errors, NotApplicable, check, checks
from verify.trajectory import NEEDS, advance, everything, follow, moved_errors, start


@check("mean_velocity load_params")
def same_mean_velocity(one: Probe, other: Probe, case: Case) -> float:
    """u of the same inputs."""
    x = case.inputs
    given = (case.config, case, x.z, x.t, x.h, x.labels)
    return row_error(*both(one, "mean_velocity", *given, other=other))


FIELDS = {
    "same_derivative": ("du/dt in the whole objective.", "du_dt"),
    "same_target": ("v_g and the regression target.", "v_g", "target"),
    "same_per_sample_errors":
        ("Squared error, weight and v_loss of each sample.", "squared_error", "weight", "v_loss"),
    "same_loss": ("The loss value.", "total"),
}  # fmt: skip


@checks(LOSS, FIELDS)
def fields_match(one: Probe, other: Probe, case: Case, *names: str) -> Errors:
    """Fields of the Loss of both."""
    ours, theirs = one.loss(case), other.loss(case)
    for name in names:
        if getattr(theirs, name) is None:
            yield name, NotApplicable(f"the Loss of one of the two has no {name}")
        else:
            yield name, field_error(getattr(ours, name), getattr(theirs, name), name)


@check(STEP)
def same_gradient(one: Probe, other: Probe, case: Case) -> Errors:
    """Every gradient tensor by name."""
    return tensor_errors(one.step(case)[1], other.step(case)[1])


@check("sample load_params")
def same_samples(one: Probe, other: Probe, case: Case) -> float:
    """Four steps from the same noise."""
    times = Host((1.0, 0.75, 0.5, 0.25, 0.0))
    given = (case.config, case, case.inputs.z, case.inputs.labels, times)
    return row_error(*both(one, "sample", *given, other=other))


# ------------------------------------------------------------------------------- training

NUM_STEPS = 20
BEFORE = 3  # steps before a state is converted: not a multiple of ema_every
CONVERTED = f"export_state load_state {NEEDS}"


@check(NEEDS)
def same_training_trajectory(one: Probe, other: Probe) -> Errors:
    """Twenty steps on digits with every setting: losses of each, and how far each tensor moved."""
    case = one.cases[0]
    ours, theirs = (probe.trained(case, follow, NUM_STEPS) for probe in (one, other))
    for step, (found, expected) in enumerate(zip(ours.logged, theirs.logged, strict=True)):
        pairs = zip(("loss", "v_loss"), _losses(found), _losses(expected), strict=True)
        for name, loss, wanted in pairs:
            yield f"{name} of step {step}", relative_error(loss, wanted)
    yield from moved_errors(ours.params, theirs.params, case.params, "params")
    decays = (str(decay) for decay in everything(case).training.ema_more)
    for name, found, expected in zip(
        ("ema_params", *decays), ours.averages[-1], theirs.averages[-1], strict=True
    ):
        yield from moved_errors(found, expected, case.params, name)


def _losses(logged: Any) -> tuple[Array, Array]:
    """Loss and mean v_loss, of Metrics or of a Loss."""
    total = logged.loss if hasattr(logged, "loss") else logged.total
    return total, np.mean(logged.v_loss)


@check(CONVERTED, exact=True)
def states_convert_exactly(one: Probe, other: Probe) -> Errors:
    """A state of one, loaded by the other and exported again, is bit-equal, in both directions."""
    case = one.cases[0]
    config = everything(case)
    for giver, taker in ((one, other), (other, one)):
        for steps in (0, BEFORE):
            state, _ = advance(giver, case, start(giver, case), range(steps))
            given = giver.subject.export_state(config, state)
            taken = taker.subject.export_state(config, taker.subject.load_state(config, given))
            where = f"{giver.subject.__name__} after {steps} steps"
            yield from state_mismatches(taken, given, where)


@check(CONVERTED, like="same_training_trajectory")
def converted_state_goes_on_the_same(one: Probe, other: Probe) -> Errors:
    """Two more steps from a converted state are those of the framework that it came from."""
    case = one.cases[0]
    config, steps = everything(case), range(BEFORE, BEFORE + 2)
    for giver, taker in ((one, other), (other, one)):
        state, _ = advance(giver, case, start(giver, case), range(BEFORE))
        given = giver.subject.export_state(config, state)
        taken = taker.subject.load_state(config, given)
        ends = [
            probe.subject.export_state(config, advance(probe, case, begin, steps)[0])
            for probe, begin in ((giver, state), (taker, taken))
        ]
        for name in ("params", "ema_params"):
            expected, found = (getattr(end, name) for end in ends)
            where = f"{giver.subject.__name__} {name}"
            yield from moved_errors(found, expected, getattr(given, name), where)
