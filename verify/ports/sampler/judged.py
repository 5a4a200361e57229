"""One call of a sampler beside the authors': differences, and what is said without one."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verify.ports.observation import Array, Sampling
from verify.ports.sampler.steps import (
    TIME,
    Evaluation,
    Move,
    UnknownCallsError,
    answered,
    close,
    evaluations,
    in_order,
    like_noise,
    moved,
)

EULER = "z <- z - (t - r) u(z, t, t - r)"


def counted(number: int, noun: str) -> str:
    """1 step, 2 steps."""
    return f"{number} {noun}{'s' * (number != 1)}"


class Judgement(NamedTuple):
    """Of one call. Texts of differences are (what the port does, what that changes)."""

    differences: dict[str, tuple[str, str]]
    notes: tuple[str, ...]
    unknown: str
    num_steps: int
    num_calls: int
    times: tuple[float, ...]  # of the calls, and where the last step ends; empty if it is unknown


def judged(sampling: Sampling) -> Judgement:
    """Differences of a call of a sampler that returned."""
    empty = Judgement({}, (), "", sampling.num_steps, len(sampling.calls), ())
    if not sampling.calls:
        text = "no call of the network"
        return empty._replace(differences={"calls": (text, "nothing is sampled from the network")})
    try:
        found = evaluations(sampling)
    except UnknownCallsError as error:
        return empty._replace(unknown=str(error))
    differences, notes = _start(found[0], sampling)
    answer = in_order(sampling)
    if sampling.shape != sampling.expected_shape:
        text = f"an answer of shape {sampling.shape} for noise of shape {sampling.expected_shape}"
        differences["shape"] = (text, "whoever calls it must know")
    moves: list[Move] = []
    for one, other in pairwise(found):
        moves.append(moved(one, other.z, sampling.rounding))
    early = None if answer is None else _early(answer, found, sampling)
    if early:
        differences["answer"] = early
    elif answer is not None:
        last, words = answered(found[-1], sampling._replace(answer=answer))
        moves.append(last)
        notes += [f"the answer is {word}" for word in words]
    found, moves, unused = _used(found, moves)
    calls = _calls(found, unused, sampling)
    if calls:
        differences["calls"] = calls
    differences |= _labels(found, moves, sampling)
    unknown = _path(found, moves, sampling, differences)
    times = tuple(one.t for one in found)
    ends = [found[k].t - move.step for k, move in enumerate(moves)]
    whole = len(ends) == len(found) and not unknown
    return empty._replace(
        differences=differences, notes=tuple(notes), unknown=unknown,
        times=(*times, ends[-1]) if whole else (),
    )  # fmt: skip


def _start(first: Evaluation, sampling: Sampling) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Where sampling begins: at the noise given, at noise of its own, or at a multiple."""
    noise, z = sampling.noise, first.z
    if close(z, noise, sampling.rounding):
        return {}, []
    factor = float(np.sum(z * noise) / np.sum(noise * noise))
    if close(z, factor * noise, sampling.rounding):
        detail = "images start from noise of another size than in training"
        return {"start": (f"starts at {factor:.6g} times the noise given", detail)}, []
    deviation, correlation = float(np.std(z)), float(np.corrcoef(z.ravel(), noise.ravel())[0, 1])
    if abs(correlation) > 7 / np.sqrt(z.size):
        text = f"starts at the noise given ({correlation:.2f} correlated) and something else"
        return {"start": (text, "images start from other than the noise of training")}, []
    if abs(deviation - 1) > 6 / np.sqrt(2 * z.size):
        text = f"starts at noise of its own of standard deviation {deviation:.3g}"
        return {"start": (text, "images start from noise of another size than in training")}, []
    return {}, ["it draws its own starting noise"]


def _early(
    answer: Array, found: tuple[Evaluation, ...], sampling: Sampling
) -> tuple[str, str] | None:
    """An answer that is a z from before the last step."""
    for k, one in enumerate(found):
        followed = k < len(found) - 1 or len(found) <= sampling.num_steps
        if followed and close(answer, one.z, sampling.rounding):
            words = "the starting noise" if k == 0 else f"z before step {k + 1}"
            return f"the answer is {words}", "the answers of the network are not used"
    return None


def _used(
    found: tuple[Evaluation, ...], moves: list[Move]
) -> tuple[tuple[Evaluation, ...], list[Move], int]:
    """Evaluations whose answer is used; the number of those after which z stays."""
    pairs = list(zip(found, moves, strict=False))
    still = [move.rest is None and move.z == 1 and not any(move.u) for _, move in pairs]
    if all(still):
        return found, moves, 0
    keep = [k for k in range(len(found)) if k >= len(still) or not still[k]]
    unused = sum(len(found[k].parts) for k in range(len(found)) if k not in keep)
    return tuple(found[k] for k in keep), [moves[k] for k in keep if k < len(moves)], unused


def _calls(
    found: tuple[Evaluation, ...], unused: int, sampling: Sampling
) -> tuple[str, str] | None:
    """Number of network evaluations (NFE) beside the number of steps."""
    num_calls, num_steps = len(sampling.calls), sampling.num_steps
    idle = unused + sum(one.num_repeated for one in found)
    words = f"{counted(num_calls, 'network call')} for {counted(num_steps, 'step')}"
    if idle:
        return f"{words}, {idle} of them without use", "sampling costs more; the images stay"
    if len(found) != num_steps:
        return words, "the number of network calls (NFE) is not that asked for"
    return None


def _labels(
    found: tuple[Evaluation, ...], moves: list[Move], sampling: Sampling
) -> dict[str, tuple[str, str]]:
    """Labels passed, and guidance by calls with and without them."""
    if sampling.labels is None:
        return {}
    kinds = [[_kind(part.labels, sampling) for part in one.parts] for one in found]
    weights = {
        round(move.u[kind.index("given")] / move.step, 5)
        for kind, move in zip(kinds, moves, strict=False)
        if sorted(kind) == ["given", "null"] and move.rest is None and move.step
    }
    if weights:
        values = ", ".join(f"{weight:.6g}" for weight in sorted(weights))
        text = f"guidance while sampling: u_null + w (u_y - u_null), w = {values}"
        if weights == {1.0}:
            return {"calls": ("two rows an image, of which u(null) has no weight", _COST)}
        return {"guidance": (text, "two evaluations a step, and guidance beyond the training's")}
    words = {
        "none": ("labels not passed to the network", "the class asked for is ignored"),
        "null": ("labels replaced by the null label", "the class asked for is ignored"),
        "other": ("labels other than those given", "images of other classes than asked for"),
    }
    flat = {kind for row in kinds for kind in row}
    wrong = [kind for kind in words if kind in flat]
    return {"labels": words[wrong[0]]} if wrong else {}


_COST = "sampling costs twice as much; the images stay"


def _kind(labels: NDArray[np.int64] | None, sampling: Sampling) -> str:
    """Of labels passed to the network: given, null, none or other."""
    if labels is None or sampling.labels is None:
        return "none"
    if np.array_equal(labels, sampling.labels):
        return "given"
    return "null" if np.all(labels == sampling.num_classes) else "other"


def _path(
    found: tuple[Evaluation, ...], moves: list[Move], sampling: Sampling,
    differences: dict[str, tuple[str, str]],
) -> str:  # fmt: skip
    """Steps and times; adds what differs, and returns what is not recognised."""
    for k, move in enumerate(moves):
        if move.rest is not None or move.z != 1:
            what, change = _strange(k, found, moves, sampling)
            if not change:
                return what
            differences["step"] = (what, change)
            if "second order" in what:
                differences.pop("calls", None)  # its two calls a step
            return ""
    step = np.array([move.step for move in moves])
    t = np.array([one.t for one in found])
    if abs(t[0]) <= TIME and np.all(np.diff(t) > 0):
        sign = "z + h u" if np.all(step < 0) else "z - h u"
        words = f"times from 0 to 1 ({sign}): t = 0 at the noise"
        differences["times"] = (words, "wrong unless the path of training has its noise at t = 0")
        return ""
    if len(step) and np.all(step < 0):
        differences["step"] = ("z <- z + (t - r) u, away from the data", "no image comes out")
        return ""
    interval = _interval(found, step, t)
    if interval:
        differences["h" if interval[0].startswith(("h", "r", "one")) else "step"] = interval
    elsewhere = _times(t, step)
    if elsewhere and "step" not in differences:
        differences["times"] = elsewhere
    return ""


def _strange(
    k: int, found: tuple[Evaluation, ...], moves: list[Move], sampling: Sampling
) -> tuple[str, str]:
    """A step that is no z - k u: (what, what it changes), or (what, nothing) where unknown."""
    move, where = moves[k], f"step {k + 1} of {len(found)}"
    following = found[k + 1].z if k + 1 < len(found) else in_order(sampling)
    assert following is not None
    if k and _combined(found[k - 1 : k + 1], following, sampling.rounding):
        return "a step combines the network at two points (second order)", (
            "u is an average velocity: Euler's step is exact, and a second order is not"
        )
    if move.rest is None:
        k_u = " + ".join(f"{-value:.4g} u" for value in move.u)
        return f"{move.z:.4g} z + {k_u} in {where}", (
            "z no longer is on the path of the average velocity"
        )
    if k + 1 < len(found) and like_noise(move.rest, following.ravel() - move.rest):
        size = float(np.std(move.rest))
        return f"adds noise between steps (standard deviation {size:.3g} in {where})", (
            "a stochastic sampler: z is noised again after a step"
        )
    if k + 1 == len(found):
        return "the answer is no combination of the last z and u", ""
    return f"z after step {k + 1} is no combination of z and u", ""


def _combined(found: tuple[Evaluation, ...], following: Array, rounding: float) -> bool:
    """following = a z_0 + combination of the u of two evaluations."""
    both = found[0]._replace(parts=(*found[0].parts, *found[1].parts))
    move = moved(both, following, rounding)
    return move.rest is None and all(move.u)


def _interval(found: tuple[Evaluation, ...], step: Array, t: Array) -> tuple[str, str] | None:
    """h = t - r as the network gets it, beside the step that z makes."""
    if any(one.h is None for one in found):
        return "one time a call: instantaneous velocities", "u(z, t, t) is no average velocity"
    h = np.array([one.h for one in found])[: len(step)]
    t = t[: len(step)]
    if _near(h, step):
        return None
    grid = t - np.array([*t[1:], 0.0])
    numbers = ", ".join(f"{value:.4g}" for value in step)
    if _near(h, grid) and not np.all(h == 0):
        if len(set(np.round(step, 5))) == 1:
            numbers = f"{step[0]:.4g}"
        return f"z moves by {numbers} a step, not by t - r", "z leaves the path"
    known = (
        (np.zeros_like(h), "h = 0: Euler's method on the instantaneous velocity"),
        (t - step, "r in place of h"),
        (np.ones_like(h), "h = 1 at every step"),
        (t, "h = t (r = 0) at every step"),
        (-step, "h = r - t"),
    )
    for values, words in known:
        if _near(h, values):
            return words, "the average velocity is asked for another interval than is stepped over"
    given = ", ".join(f"{value:.4g}" for value in h)
    return f"h = {given} where z moves by {numbers}", (
        "the average velocity is asked for another interval than is stepped over"
    )


def _times(t: Array, step: Array) -> tuple[str, str] | None:
    """Times from 1 to 0, each where the step before ended."""
    position = 1 - np.concatenate([[0.0], np.cumsum(step)])
    if len(step) == len(t) and _near(t, position[1:]):
        return "t is the end of its step", "the network is asked at another time than z has reached"
    if abs(t[0] - 1) > TIME:
        return f"starts at t = {t[0]:.6g}", "the noise is at t = 1"
    ends = t[: len(step)] - step
    late = np.flatnonzero(np.abs(ends[: len(t) - 1] - t[1:]) > TIME)
    if len(late):
        k = int(late[0])
        return (
            f"t = {t[k + 1]:.4g} for z at time {ends[k]:.4g}",
            "the network is asked at another time than z has reached",
        )
    if len(ends) == len(t) and abs(ends[-1]) > TIME:
        return f"ends at t = {ends[-1]:.6g}", "some noise stays in the images"
    return None


def _near(x: Array, y: Array) -> bool:
    return bool(np.all(np.abs(x - y) <= TIME))
