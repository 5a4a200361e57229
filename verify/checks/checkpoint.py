"""States on disk and in canonical form: nothing is lost, so a run goes on as if never stopped."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import reference
from impls.common.types import CanonicalState
from verify.cases import Case
from verify.compare import Error, mismatches, relative_error, worst
from verify.probe import Probe
from verify.registry import check
from verify.trajectory import NEEDS, advance, everything, start

STATE = f"export_state {NEEDS}"
DISK = f"save_checkpoint restore_checkpoint {STATE}"
HALF = 3  # steps before the run is stopped, and after: not a multiple of ema_every
IN_FLOAT32 = "a checkpoint holds the float32 parameters of a run"


def state_mismatches(actual: CanonicalState, expected: CanonicalState) -> Error:
    """Entries that differ, in the worst array."""
    ours, theirs = _arrays(actual), _arrays(expected)
    if set(ours) != set(theirs):
        return Error(float("inf"), "another number of averages or of tensors")
    return worst({name: mismatches(ours[name], theirs[name]) for name in theirs})


def _arrays(state: CanonicalState) -> dict[str, Any]:
    trees = {
        "params": state.params,
        "ema_params": state.ema_params,
        "first_moment": state.first_moment,
        "second_moment": state.second_moment,
        **{f"ema_more {index}": average for index, average in enumerate(state.ema_more)},
    }
    counts = {"step": np.array(state.step), "num_updates": np.array(state.num_updates)}
    return counts | {
        f"{tree} {k}": array for tree, arrays in trees.items() for k, array in arrays.items()
    }


def _stopped(probe: Probe, case: Case) -> Any:
    """The subject's state after the first half, made anew each time: steps may use it up."""
    return advance(probe, case, start(probe, case), range(HALF))[0]


def _ended(probe: Probe, case: Case, state: Any) -> CanonicalState:
    """The end of a run that goes on from a state after the first half."""
    state, _ = advance(probe, case, state, range(HALF, 2 * HALF))
    exported: CanonicalState = probe.subject.export_state(everything(case), state)
    return exported


def _through_the_disk(probe: Probe, case: Case, state: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        probe.subject.save_checkpoint(path, state)
        return probe.subject.restore_checkpoint(path, everything(case))


def _reloaded(probe: Probe, case: Case, state: Any) -> Any:
    config = everything(case)
    return probe.subject.load_state(config, probe.subject.export_state(config, state))


@check("checkpoint", DISK, exact=True)
def checkpoint_round_trip_is_exact(probe: Probe) -> float:
    """save_checkpoint, then restore_checkpoint: every bit, with averages, moments and counts."""
    probe.require(np.float32, IN_FLOAT32)
    case, errors = probe.cases[0], {}
    export = probe.subject.export_state
    for when, make in (("at the start", start), ("after some steps", _stopped)):
        state = make(probe, case)
        restored = _through_the_disk(probe, case, state)
        config = everything(case)
        errors[when] = state_mismatches(export(config, restored), export(config, state))
    return worst(errors)


@check("checkpoint", f"load_state {STATE}", exact=True)
def state_round_trip_is_exact(probe: Probe) -> float:
    """export_state, then load_state, gives back every bit, before the first step too."""
    case, errors = probe.cases[0], {}
    config, export = everything(case), probe.subject.export_state
    for when, make in (("at the start", start), ("after some steps", _stopped)):
        state = make(probe, case)
        reloaded = _reloaded(probe, case, state)
        errors[when] = state_mismatches(export(config, reloaded), export(config, state))
    return worst(errors)


@check("checkpoint", STATE, exact=True)
def exported_state_is_the_state(probe: Probe) -> float:
    """export_state says the parameters, averages and counts as they are; moments start at zero."""
    case, subject = probe.cases[0], probe.subject
    config, errors = everything(case), {}
    for count, make in ((0, start), (HALF, _stopped)):
        state = make(probe, case)
        found: CanonicalState = subject.export_state(config, state)
        averages = (state.ema_params, *state.ema_more)
        params, ema, *more = (subject.export_params(config, t) for t in (state.params, *averages))
        zeros = {name: np.zeros_like(array) for name, array in params.items()}
        moments = (found.first_moment, found.second_moment) if count else (zeros, zeros)
        expected = CanonicalState(count, params, ema, tuple(more), count, *moments)
        errors[f"after {count} steps"] = state_mismatches(found, expected)
    return worst(errors)


@check("checkpoint", STATE, like="steps_with_every_setting_match")
def exported_moments_match(probe: Probe) -> float:
    """The first and the second moment of the gradient, as export_state names them."""
    case, errors = probe.cases[0], {}
    found = probe.subject.export_state(everything(case), _stopped(probe, case))
    adam = _stopped(Probe(reference, np.float64, ()), case).opt_state
    moments = ((found.first_moment, adam.first), (found.second_moment, adam.second))
    for moment, (ours, theirs) in zip(("first", "second"), moments, strict=True):
        for name, array in theirs.items():
            errors[f"{moment} of {name}"] = relative_error(ours[name], array)
    return worst(errors)


@check("checkpoint", DISK, exact=True)
def resume_is_bit_equal(probe: Probe) -> float:
    """A run that was saved, restored and goes on ends with every bit of one never stopped."""
    probe.require(np.float32, IN_FLOAT32)
    case = probe.cases[0]
    restored = _through_the_disk(probe, case, _stopped(probe, case))
    expected = _ended(probe, case, _stopped(probe, case))
    return state_mismatches(_ended(probe, case, restored), expected)


@check("checkpoint", f"load_state {STATE}", exact=True)
def loaded_state_goes_on_the_same(probe: Probe) -> float:
    """A run that goes on from load_state ends with every bit of one never stopped."""
    case, errors = probe.cases[0], {}
    expected = _ended(probe, case, _stopped(probe, case))
    reloaded = _reloaded(probe, case, _stopped(probe, case))
    errors["after some steps"] = state_mismatches(_ended(probe, case, reloaded), expected)
    fresh = _reloaded(probe, case, start(probe, case))
    fresh, _ = advance(probe, case, fresh, range(HALF))
    errors["at the start"] = state_mismatches(_ended(probe, case, fresh), expected)
    return worst(errors)
