"""Training states on disk and in canonical form: lossless, so runs resume bit for bit."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from impls.common.types import CanonicalState
from verify.cases import Case
from verify.compare import mismatches, tensor_errors
from verify.probe import Probe, arbiter
from verify.registry import Errors, check
from verify.trajectory import NEEDS, advance, everything, start

STATE = f"export_state {NEEDS}"
DISK = f"save_checkpoint restore_checkpoint {STATE}"
HALF = 3  # steps before the run is interrupted, and after: not a multiple of ema_every
IN_FLOAT32 = "a checkpoint holds the float32 parameters of a run"


def state_mismatches(actual: CanonicalState, expected: CanonicalState, place: str) -> Errors:
    """Number of entries that differ in each array of a state."""
    ours, theirs = _arrays(actual), _arrays(expected)
    if set(ours) != set(theirs):
        yield f"{place}: another number of averages or of tensors", np.inf
        return
    for name, array in theirs.items():
        yield f"{place}: {name}", mismatches(ours[name], array)


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
    """The subject's state after the first half, not cached, since steps may donate its buffers."""
    return advance(probe, case, start(probe, case), range(HALF))[0]


def _ended(probe: Probe, case: Case, state: Any) -> CanonicalState:
    """Final state of a run that resumes from a state after the first half."""
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


STAGES = {"at the start": start, "after some steps": _stopped}  # of a run, to look at its state


@check(DISK, exact=True)
def checkpoint_round_trip_is_exact(probe: Probe) -> Errors:
    """restore_checkpoint after save_checkpoint is bit-equal: parameters, EMAs, moments, counts."""
    probe.require(np.float32, IN_FLOAT32)
    return _round_trip(probe, _through_the_disk)


@check(f"load_state {STATE}", exact=True)
def state_round_trip_is_exact(probe: Probe) -> Errors:
    """load_state after export_state is bit-equal, before the first step too."""
    return _round_trip(probe, _reloaded)


def _round_trip(probe: Probe, there_and_back: Callable[[Probe, Case, Any], Any]) -> Errors:
    case, export = probe.cases[0], probe.subject.export_state
    config = everything(case)
    for when, make in STAGES.items():
        state = make(probe, case)
        back = there_and_back(probe, case, state)
        yield from state_mismatches(export(config, back), export(config, state), when)


@check(STATE, exact=True)
def exported_state_is_the_state(probe: Probe) -> Errors:
    """export_state returns the state's own parameters, EMAs and counts; moments start at zero."""
    case, subject = probe.cases[0], probe.subject
    config = everything(case)
    for count, make in ((0, start), (HALF, _stopped)):
        state = make(probe, case)
        found: CanonicalState = subject.export_state(config, state)
        averages = (state.ema_params, *state.ema_more)
        params, ema, *more = (subject.export_params(config, t) for t in (state.params, *averages))
        zeros = {name: np.zeros_like(array) for name, array in params.items()}
        moments = (found.first_moment, found.second_moment) if count else (zeros, zeros)
        expected = CanonicalState(count, params, ema, tuple(more), count, *moments)
        yield from state_mismatches(found, expected, f"after {count} steps")


@check(STATE, like="steps_with_every_setting_match")
def exported_moments_match(probe: Probe) -> Errors:
    """The first and the second moment of the gradient, as export_state names them."""
    case = probe.cases[0]
    found = probe.subject.export_state(everything(case), _stopped(probe, case))
    adam = _stopped(arbiter(), case).opt_state
    yield from tensor_errors(found.first_moment, adam.first, "first of")
    yield from tensor_errors(found.second_moment, adam.second, "second of")


@check(DISK, exact=True)
def resume_is_bit_equal(probe: Probe) -> Errors:
    """A run that is saved, restored and resumed ends bit-equal to an uninterrupted one."""
    probe.require(np.float32, IN_FLOAT32)
    return _goes_on(probe, _through_the_disk)


@check(f"load_state {STATE}", exact=True)
def loaded_state_goes_on_the_same(probe: Probe) -> Errors:
    """A run that resumes from load_state ends bit-equal to an uninterrupted one."""
    case = probe.cases[0]
    yield from _goes_on(probe, _reloaded)
    fresh, _ = advance(probe, case, _reloaded(probe, case, start(probe, case)), range(HALF))
    expected = _ended(probe, case, _stopped(probe, case))
    yield from state_mismatches(_ended(probe, case, fresh), expected, "at the start")


def _goes_on(probe: Probe, there_and_back: Callable[[Probe, Case, Any], Any]) -> Errors:
    case = probe.cases[0]
    found = _ended(probe, case, there_and_back(probe, case, _stopped(probe, case)))
    expected = _ended(probe, case, _stopped(probe, case))
    return state_mismatches(found, expected, "after some steps")
