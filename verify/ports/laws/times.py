"""The times (t, r) of a port, made ready for the tests of their joint law."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from verify.ports.laws import dependence, fit, statistics
from verify.ports.laws.densities import Law
from verify.ports.laws.fit import Rows
from verify.ports.laws.masks import Mask
from verify.ports.observation import Array, Draws

SAME_TIME = 2e-7  # r = t up to this: what interpolating between the two leaves in float32
_GRID = 20  # atoms; more values that are drawn again and again are a grid


@dataclass(frozen=True)
class Times:
    """Times of many calls, made ready for the tests.

    Attributes:
        t, r: [num_calls, batch]; r set to t where they are equal.
        equal: [num_calls, batch], r = t.
        atoms: values of t and of r that are drawn again and again.
        words: what was seen of them.
        slack: twice the mass of the fullest cell, where the times lie on a grid; else 0.
    """

    t: Array
    r: Array
    equal: Mask
    atoms: dict[str, Array]
    words: str = ""
    slack: float = 0.0

    @property
    def atom(self) -> Mask:
        """[num_calls, batch]: t, or r where r < t, is an atom."""
        r_atom = np.isin(self.r, self.atoms.get("r", [])) & ~self.equal
        return np.isin(self.t, self.atoms.get("t", [])) | r_atom

    def ends(self, x: Array) -> tuple[float, float]:
        """Interval of the values of t or r that are no atoms: x was clipped to it, or 0..1."""
        values = np.concatenate([*self.atoms.values(), []])
        low, high = x.min(initial=1.0), x.max(initial=0.0)
        return float(low if low in values else 0), float(high if high in values else 1)

    def rows(self, one_a_call: bool = False) -> Rows:
        """The rows that are no atoms; of each call one with r = t and one without, where asked."""
        equal, kept = self.equal, ~np.isin(self.t, self.atoms.get("t", []))
        if one_a_call:
            kept &= (np.cumsum(equal, 1) == 1) & equal | (np.cumsum(~equal, 1) == 1) & ~equal
        low, high = self.ends(self.t)
        ends = (low, high), self.ends(self.r[~equal])
        kept &= ((self.t > low) | (low == 0)) & ((self.t < high) | (high == 1))
        atom = np.isin(self.r, self.atoms.get("r", [])) & ~equal
        return Rows(self.t[kept], self.r[kept], equal[kept], atom[kept], *ends, self.slack)


def observed(draws: Draws) -> Times:
    """The times of these draws: rows with r = t, atoms and grids found."""
    t, r = (np.clip(x, 0.0, 1.0) for x in (draws.t, draws.r))
    equal = np.abs(t - r) <= SAME_TIME
    r = np.where(equal, t, r)
    # A value that one call has many times is dependence between its rows, not an atom.
    kept = {"t": np.ones_like(equal), "r": ~equal}
    once = {
        name: np.concatenate([np.unique(call[k]) for call, k in zip(x, kept[name], strict=True)])
        for name, x in (("t", t), ("r", r))
    }
    values = {name: dependence.repeated(x) for name, x in once.items()}
    if max(len(x) for x in values.values()) > _GRID:
        num = {name: len(np.unique(x)) for name, x in once.items()}
        words = f"times on a grid: {num['t']} different t in {t.size} rows"
        slack = 2 * max(np.unique(x, return_counts=True)[1].max() / x.size for x in once.values())
        t, r = _spread(t), _spread(r)
        return Times(t, np.where(equal, t, np.minimum(r, t)), equal, {}, words, float(slack))
    shares = [
        f"{name} = {value:.4g} in {np.mean(x[kept[name]] == value):.2g} of the rows"
        + (" with r < t" if name == "r" else "")
        for name, x in (("t", t), ("r", r)) for value in values[name][:3]
    ]  # fmt: skip
    atoms = {name: found for name, found in values.items() if len(found)}
    return Times(t, r, equal, atoms, ", ".join(shares))


def law_tests(rows: Rows, law: Law) -> list[float]:
    """p-values of "the rows are of this law", given which of them have r = t.

    Rosenblatt's transform makes uniform numbers of the times: the distribution functions of t among
    the rows with r = t, of t among the others, and of r at given t.
    """
    if not len(rows.t):
        return []
    if law.order != "unordered" and bool(np.any(rows.r > rows.t + SAME_TIME)):
        return [0.0]
    law = fit.with_share(law, rows.equal)
    t, r = rows.t[~rows.equal], rows.r[~rows.equal]
    drawn = ~rows.atom[~rows.equal]
    with np.errstate(all="ignore"):
        equal = _inside(law.cdf_equal, rows.t[rows.equal], rows.ends_t)
        unequal = _inside(law.cdf_unequal, t, rows.ends_t)
        given = _inside(lambda r: law.cdf_r(r, t[drawn]), r[drawn], rows.ends_r)
    uniforms = (equal, unequal, given)
    tests = [p for u in uniforms for p in statistics.uniformity(u, rows.slack)]
    return tests if rows.slack else [*tests, statistics.independence(unequal[drawn], given)[1]]


def _inside(cdf: Callable[[Array], Array], x: Array, ends: tuple[float, float]) -> Array:
    """Distribution function of x, given that it lies between the ends."""
    low, high = (cdf(np.full(x.shape, end)) if 0 < end < 1 else end for end in ends)
    u: Array = np.nan_to_num(np.clip((cdf(x) - low) / (high - low), 0, 1))
    return u


def _spread(x: Array) -> Array:
    """Times of a grid spread evenly over its cells, in the order in which they were drawn."""
    values = np.unique(x)
    edges = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2, values[-1:]])
    cell = np.searchsorted(values, x)
    golden = np.modf(np.arange(1, x.size + 1) * 0.6180339887498949)[0].reshape(x.shape)
    spread: Array = edges[cell] + golden * (edges[cell + 1] - edges[cell])
    return spread
