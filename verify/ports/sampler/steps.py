"""Steps of a sampler, from the calls that it makes: z_next = a z - sum_j k_j u_j + b."""

from collections.abc import Sequence
from itertools import permutations
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verify.ports.observation import Array, NetworkCall, Sampling

TIME = 3e-6  # times and steps may be float32 constants


class UnknownCallsError(Exception):
    """Calls that are no steps of a whole batch; the message says what they are."""


class Part(NamedTuple):
    """A network call, or half of one, with a row for each image."""

    z: Array  # [batch, size]
    t: Array  # [batch]
    r: Array | None  # [batch]
    labels: NDArray[np.int64] | None  # [batch]
    u: Array  # [batch, size]


class Evaluation(NamedTuple):
    """Network calls at one point (z, t, r): one, or more with other labels."""

    z: Array
    t: float
    h: float | None
    parts: tuple[Part, ...]
    num_repeated: int  # calls with the labels of another


class Move(NamedTuple):
    """From one z to the next."""

    z: float  # a
    u: tuple[float, ...]  # k_j
    offset: float
    rest: Array | None  # [entries], what is no combination; None where it is rounding

    @property
    def step(self) -> float:
        """Length of the step in time, sum of k_j / a."""
        return float(sum(self.u)) / (self.z or 1.0)


def close(x: Array, y: Array, rounding: float) -> bool:
    """Equal to rounding."""
    return x.shape == y.shape and bool(
        np.max(np.abs(x - y), initial=0.0) <= 300 * rounding * max(1.0, np.max(np.abs(y)))
    )


def evaluations(sampling: Sampling) -> tuple[Evaluation, ...]:
    """Calls of a sampler, gathered where they are at the same point.

    Raises:
        UnknownCallsError: where rows of a call are not those of a batch, or differ in their times.
    """
    found: list[list[Part]] = []
    for call in sampling.calls:
        for part in _parts(call, len(sampling.noise), sampling.rounding):
            if found and _same_point(found[-1][0], part, sampling.rounding):
                found[-1].append(part)
            else:
                found.append([part])
    return tuple(_evaluation(parts, sampling.rounding) for parts in found)


def _parts(call: NetworkCall, batch: int, rounding: float) -> tuple[Part, ...]:
    """A call of twice as many rows as images is two: one after the other, or in turns."""
    rows = len(call.z)
    if rows == batch:
        return (Part(*call),)
    if rows != 2 * batch:
        raise UnknownCallsError(f"network called with {rows} rows for {batch} images")
    index = np.arange(rows)
    for first, second in ((index[:batch], index[batch:]), (index[::2], index[1::2])):
        if close(call.z[first], call.z[second], rounding):
            halves = [[None if array is None else array[rows] for array in call]
                      for rows in (first, second)]  # fmt: skip
            return Part._make(halves[0]), Part._make(halves[1])
    raise UnknownCallsError("two rows an image, of another z each")


def _same_point(one: Part, other: Part, rounding: float) -> bool:
    if (one.r is None) != (other.r is None) or not close(one.z, other.z, rounding):
        return False
    times = [(one.t, other.t)]
    if one.r is not None and other.r is not None:
        times.append((one.r, other.r))
    return all(bool(np.all(np.abs(x - y) <= TIME)) for x, y in times)


def _evaluation(parts: Sequence[Part], rounding: float) -> Evaluation:
    first = parts[0]
    if np.ptp(first.t) > TIME or (first.r is not None and np.ptp(first.r) > TIME):
        raise UnknownCallsError("rows of a call have different times")
    distinct: list[Part] = []
    for part in parts:
        if not any(close(part.u, other.u, rounding) for other in distinct):
            distinct.append(part)
    t = float(first.t[0])
    h = None if first.r is None else t - float(first.r[0])
    return Evaluation(first.z, t, h, tuple(distinct), len(parts) - len(distinct))


def moved(evaluation: Evaluation, following: Array, rounding: float) -> Move:
    """The step to the next z, by least squares over all pixels of all rows."""
    return _solved(evaluation, following, np.ones(following.shape, bool), False, rounding)


def answered(evaluation: Evaluation, sampling: Sampling) -> tuple[Move, tuple[str, ...]]:
    """The step to the answer, and what is done to the answer after it, in words."""
    answer = sampling.answer
    assert answer is not None
    plain = moved(evaluation, answer, sampling.rounding)
    if plain.rest is None and plain.z == 1:
        return plain, ()
    low, high = float(answer.min()), float(answer.max())
    inside = (answer > low) & (answer < high)
    clipped = [f"clipped at {end:.6g}" for end in (low, high) if np.sum(answer == end) > 1]
    kept = inside if clipped else np.ones(answer.shape, bool)
    move = _solved(evaluation, answer, kept, True, sampling.rounding)
    if np.all(answer == np.round(answer)) and np.ptp(answer) > 30:  # whole numbers: half of one
        rest = move.rest if move.rest is not None else np.zeros(1)
        if np.max(np.abs(rest)) <= 1.5:
            found, words = _rescaled(move._replace(rest=None), 1e-2, ("rounded to whole numbers",))
            return _of_interval(found, evaluation.h), words
    if move.rest is not None:
        return plain, ()
    return _rescaled(move, TIME, tuple(clipped))


def _of_interval(move: Move, h: float | None) -> Move:
    """A step known to some thousandths is h where it may be."""
    if h is None or not move.step or abs(move.step - h) > 0.02:
        return move
    return move._replace(u=tuple(value * h / move.step for value in move.u))


def _rescaled(move: Move, tolerance: float, words: tuple[str, ...]) -> tuple[Move, tuple[str, ...]]:
    """An affine map of the last z, in words, and the step before it."""
    if abs(move.z - 1) <= tolerance and abs(move.offset) <= tolerance:
        return move._replace(z=1.0, offset=0.0), words
    if move.z == 0:
        return move, words
    k = tuple(value / move.z for value in move.u)
    digits = 6 if tolerance < 1e-3 else 3
    text = f"rescaled: {move.z:.{digits}g} z + {move.offset:.{digits}g}"
    return Move(1.0, k, 0.0, None), (text, *words)


def _solved(
    evaluation: Evaluation, following: Array, kept: NDArray[np.bool_], affine: bool,
    rounding: float,
) -> Move:  # fmt: skip
    columns = [evaluation.z[kept], *(-part.u[kept] for part in evaluation.parts)]
    if affine:
        columns.append(np.ones(int(kept.sum())))
    system = np.stack(columns, 1)
    if len(system) < 4 * len(columns):
        return Move(np.nan, (np.nan,), 0.0, following.ravel())
    x = np.linalg.lstsq(system, following[kept], rcond=None)[0]
    rest = following[kept] - system @ x
    scale = max(1.0, float(np.max(np.abs(system * x))))
    small = np.abs(x) <= TIME
    x[small] = 0.0
    if abs(x[0] - 1) <= TIME:
        x[0] = 1.0
    count = 1 + len(evaluation.parts)
    exact = np.max(np.abs(rest)) <= 3000 * rounding * scale
    offset = float(x[count]) if affine else 0.0
    return Move(float(x[0]), tuple(x[1:count].tolist()), offset, None if exact else rest)


def in_order(sampling: Sampling) -> Array | None:
    """The answer with its axes in the order of the noise's; None where there is no such order."""
    answer, shape = sampling.answer, sampling.shape
    if answer is None or shape is None or shape == sampling.expected_shape:
        return answer
    if prod(shape) != prod(sampling.expected_shape):
        return None
    if len(shape) != len(sampling.expected_shape):
        return answer  # flattened
    whole = answer.reshape(shape)
    for axes in permutations(range(len(shape))):
        if tuple(shape[axis] for axis in axes) == sampling.expected_shape:
            return np.asarray(np.transpose(whole, axes).reshape(answer.shape))
    return None


def like_noise(rest: Array, fit: Array) -> bool:
    """Whether a rest could be normal noise: skewness, kurtosis, no function of the fit beside it.

    Each within six standard deviations.
    """
    count, deviation = rest.size, float(np.std(rest))
    if count < 100 or deviation == 0:
        return False
    z = rest.ravel() / deviation
    skewness, kurtosis = float(np.mean(z**3)), float(np.mean(z**4)) - 3
    if abs(skewness) > 6 * (6 / count) ** 0.5 or abs(kurtosis) > 6 * (24 / count) ** 0.5:
        return False
    y = fit.ravel()
    functions = (np.sign(y), y**2, y**3, np.clip(y, -1, 1))
    return all(abs(np.corrcoef(z, values)[0, 1]) < 6 / count**0.5 for values in functions)
