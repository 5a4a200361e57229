"""Several steps with every setting of training at once, and the metrics logged at each step."""

from dataclasses import replace

import numpy as np

import reference
from impls.common.dtypes import as_dtype
from verify.compare import mismatches, relative_error
from verify.probe import Probe
from verify.registry import Errors, check
from verify.trajectory import (
    EVERYTHING,
    NEEDS,
    advance,
    answer,
    everything,
    follow,
    inputs,
    moved_errors,
    start,
)

NUM_STEPS = 5
NUM_COMPILED = 3
IN_FLOAT64 = "two forms of one text: in float64 their rounding is out of the way"
LIKE = "steps_with_every_setting_match"


@check(NEEDS)
def steps_with_every_setting_match(probe: Probe) -> Errors:
    """Schedule, clipping, weight decay, several averages and parts of a batch in five steps."""
    case = probe.cases[0]
    found, expected = probe.trained(case, follow, NUM_STEPS), answer(case, NUM_STEPS)
    return moved_errors(found.params, expected.params, case.params, case.name)


@check(NEEDS)
def further_averages_match(probe: Probe) -> Errors:
    """Each average has a decay of its own: ema_val, then those of ema_more."""
    case = probe.cases[0]
    found, expected = probe.trained(case, follow, NUM_STEPS), answer(case, NUM_STEPS)
    decays = (EVERYTHING["ema_val"], *EVERYTHING["ema_more"])
    pairs = zip(decays, found.averages[-1], expected.averages[-1], strict=True)
    for decay, ours, theirs in pairs:
        yield from moved_errors(ours, theirs, case.params, f"decay {decay}:")


@check(NEEDS, exact=True)
def averages_rest_between_updates(probe: Probe) -> Errors:
    """With ema_every 2 the averages change after steps 2, 4, … and not a bit in between."""
    case = probe.cases[0]
    begin = as_dtype(case.params, probe.dtype)
    before = (begin,) * (1 + len(EVERYTHING["ema_more"]))
    for step, after in enumerate(probe.trained(case, follow, NUM_STEPS).averages, start=1):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            still = [mismatches(new[name], old[name]) == 0 for name in old]
            rests = step % EVERYTHING["ema_every"] != 0
            yield f"average {index} at step {step}", float(still.count(not rests))
        before = after


@check(f"compile_step {NEEDS}", like=LIKE)
def compiled_step_is_the_train_step(probe: Probe) -> Errors:
    """What compile_step returns makes the same state as train_step, and logs its losses."""
    probe.require(np.float64, IN_FLOAT64)
    case, subject, config = probe.cases[0], probe.subject, everything(probe.cases[0])
    state, (logged,) = advance(probe, case, start(probe, case), range(1))
    step_inputs = subject.put(as_dtype(inputs(config, 0), probe.dtype))
    expected, loss = subject.train_step(config, start(probe, case), *step_inputs)
    loss = subject.get(loss)
    yield "loss", relative_error(logged.loss, loss.total)
    yield "v_loss", relative_error(logged.v_loss, loss.v_loss.mean())
    yield "step", float(abs(int(state.step) - int(expected.step)))
    ours, theirs = (subject.export_params(config, s.params) for s in (state, expected))
    yield from moved_errors(ours, theirs, case.params, "params")


@check(f"compile_step {NEEDS}", like=LIKE, full=True)
def steps_compiled_by_the_framework_match(probe: Probe) -> Errors:
    """With training.compile always: every setting in three steps, against the reference."""
    probe.require(np.float64, IN_FLOAT64)
    case = probe.cases[0]
    training = case.config.training.model_copy(update={"compile": "always"})
    compiled = replace(case, config=case.config.model_copy(update={"training": training}))
    found, expected = follow(probe, compiled, NUM_COMPILED), answer(case, NUM_COMPILED)
    return moved_errors(found.params, expected.params, case.params, case.name)


@check(f"compile_step {NEEDS}", like=LIKE)
def logged_metrics_match(probe: Probe) -> Errors:
    """What compile_step logs: loss, v_loss, norm of the gradient before clipping, learning rate."""
    case = probe.cases[0]
    config = everything(case)
    state = reference.init_state(config, as_dtype(case.params, np.float64))
    for step, found in enumerate(probe.trained(case, follow, NUM_STEPS).logged):
        step_inputs = as_dtype(inputs(config, step), np.float64)
        loss, gradient = reference.accumulate(config, state.params, *step_inputs)
        gradient, norm = reference.clip_gradient(config, gradient)
        expected = {
            "loss": loss.total,
            "v_loss": loss.v_loss.mean(),
            "grad_norm": norm,
            "learning_rate": reference.learning_rate(config, step),
        }
        state = reference.update(config, state, gradient)
        for name, value in expected.items():
            yield f"{name} of step {step}", relative_error(getattr(found, name), value)
