"""The formula that the regressed rows of a loss share.

    target = a v + b u(z, t, 0, null) + c u(z, t, 0, y) + k (t - r) du/dt,   a = 1 - b - c

Where the very answer that is regressed is one of those in v_g (r = t, and the row's own label), it
cannot be told from the weight: what is seen of the target is divided by 1 - c, and undone here.
Coefficients of v that do not sum to one with the others are a factor of v itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from verify.ports.observation import Array
from verify.ports.reading import Path, Row, alike, text
from verify.ports.runs import Run


@dataclass(frozen=True)
class Guidance:
    """Coefficients of v_g, and of which answers it is made."""

    v: float = 1.0
    null: float = 0.0
    own: float = 0.0
    other: float = 0.0  # of an answer with the label of a class that is not the image's

    @property
    def is_none(self) -> bool:
        """Whether v_g = v."""
        return self.near(Guidance())

    def near(self, other: "Guidance", within: float = 1e-5) -> bool:
        """Whether both are the same formula."""
        ours, theirs = (tuple(vars(one).values()) for one in (self, other))
        return all(abs(a - b) < within for a, b in zip(ours, theirs, strict=True))

    def times(self, factor: float) -> "Guidance":
        """All coefficients times a factor."""
        return Guidance(*(factor * value for value in vars(self).values()))

    def __str__(self) -> str:
        parts = (
            [] if abs(self.v) < 1e-9 else ["v" if abs(self.v - 1) < 1e-6 else f"{text(self.v)} v"]
        )
        for value, name in (
            (self.null, "u(z, t, 0, null)"),
            (self.own, "u(z, t, 0, y)"),
            (self.other, "u(z, t, 0, another class)"),
        ):
            if abs(value) > 1e-6:
                size = "" if abs(abs(value) - 1) < 1e-6 else f"{text(abs(value))} "
                parts.append(f"{'-' if value < 0 else '+'} {size}{name}")
        return " ".join(parts).removeprefix("+ ") or "0"


@dataclass(frozen=True)
class Velocity:
    """v as the path has it (times a factor), or as constant coefficients of data and noise."""

    kind: str  # own, constant or unknown
    p: float = -1.0  # constant: of the data; own: the factor
    q: float = 1.0

    def at(self, path: Path, t: float) -> tuple[float, float]:
        """Coefficients of data and noise."""
        if self.kind == "constant":
            return self.p, self.q
        alpha, sigma = path.velocity(t)
        return self.p * alpha, self.p * sigma


@dataclass
class Formula:
    """What the target is made of, as measured."""

    path: Path
    rows: list[Row]
    unexplained: list[Row]
    velocity: Velocity
    guided: Guidance  # of labelled rows
    target_guided: Guidance | None  # of the target, where the tangent has the expected v_g instead
    window: tuple[float, float] | None  # times of guided rows; None: all labelled rows are guided
    bounds: tuple[tuple[float, float], tuple[float, float]] | None  # of the window's two ends
    dropped: Guidance | None  # of unlabelled rows; None where none was seen
    factor: float  # k; nan where it is not one number
    per_interval: bool  # whether du/dt is multiplied by t - r
    tangent_guided: Guidance | None  # of the tangent in z
    tangent_times: tuple[float, float] | None  # dt and dr
    step: float  # of a finite difference, else 0
    calls: dict[int, set[int]]  # by run: calls whose answers v_g is made of

    @property
    def good(self) -> list[Row]:
        """Rows that the formula explains."""
        bad = {id(row) for row in self.unexplained}
        return [row for row in self.rows if id(row) not in bad]

    def hidden(self, row: Row) -> float:
        """Coefficient in the target of the very answer that is regressed."""
        if not row.equal or self_coefficient(row):
            return self_coefficient(row)
        meant, share = self.guided, self.guided.own
        if row.target.ambiguous:
            share = self.guided.own + self.guided.null
        elif not row.target.own_label:
            meant = self.dropped or self.guided
            share = meant.null
        if not share or share == 1:
            return 0.0
        # What is seen of a guided row is divided by 1 - share.
        would_show = meant.times(1 / (1 - share))
        if row.target.ambiguous or not row.target.own_label:
            would_show = replace(would_show, null=0.0)
        if row.target.ambiguous or row.target.own_label:
            would_show = replace(would_show, own=0.0)
        seen = _guidance(row, self.velocity, self.path, 0.0)
        if not would_show.is_none:
            return share if seen.near(would_show, max(1e-5, row.run.within)) else 0.0
        # Guided or not, the target looks the same. The row's tangent tells, where that is v_g ...
        tells = self.tangent_guided is not None and self.tangent_guided.near(self.guided)
        unlabelled = not row.target.own_label and not row.target.ambiguous
        if (row.target.tangent and tells) or (unlabelled and self.dropped is None):
            return 0.0
        # ... else it is guided if the port made the call, in the window.
        inside = self.window is None or self.window[0] <= row.t <= self.window[1]
        return share if inside and self._is_called(row) else 0.0

    def _is_called(self, row: Row) -> bool:
        """Whether one of the calls that v_g is made of has this very answer."""
        rows = row.run.rows
        derivatives = set(rows.call[rows.has_tangent].tolist())
        # A run whose rows all have r = t does not show which calls v_g is made of; others do.
        calls = self.calls.get(id(row.run), set()) | (
            set().union(*self.calls.values()) - derivatives
        )
        return bool(calls & set(row.target.twins))


def self_coefficient(row: Row) -> float:
    """Coefficient of the regressed answer in v_g, by a tangent that the target fits."""
    value = row.tangent_self
    small = max(1e-6, row.run.within)
    if abs(value) < small or abs(value - 1) < small or not row.target.tangent:
        return 0.0
    ours = [row.coefficient(label) for label in ("null", "own", "other")]
    theirs = [row.coefficient(label, True) for label in ("null", "own", "other")]
    seen = np.array([row.p, row.q, *ours]) * (1 - value)
    return (
        value
        if np.allclose(
            seen, [row.tangent_p, row.tangent_q, *theirs], atol=max(1e-5, row.run.within)
        )
        else 0.0
    )


def formula(path: Path, rows: list[Row], expected: Guidance) -> Formula:
    """The formula of the rows; `expected` says which of target and tangent has the v_g meant."""
    within = max((row.run.within for row in rows), default=0.0)
    good = [row for row in rows if row.target.rest < within]
    bad = [row for row in rows if not row.target.rest < within]
    path, velocity = _velocity(path, good, within)
    apart = [row for row in good if not row.equal and not row.target.ambiguous]
    pool = [row for row in apart if row.target.own_label] or apart
    seen = [_guidance(row, velocity, path, self_coefficient(row)) for row in pool]
    guided = _common(seen) or expected
    moved = [row for row in pool if row.target.tangent]
    tangent = _common([_guidance(row, velocity, path, 0.0, tangent=True) for row in moved])
    if any(row.target.direction_rest > row.run.within for row in moved):
        tangent = None  # along something else than v and the network's answers
    unlike = tangent is not None and tangent.near(expected) and not guided.near(expected)
    target_guided = guided if unlike and guided.is_none else None
    times = sorted(
        {
            tuple(round(x, 6) + 0.0 for x in row.target.tangent)
            for row in moved
            if row.target.tangent
        }
    )
    ordered = [row for row in apart if row.h > 0] or apart  # clip(t - r, 0, 1) is 0 where r > t
    factor, per_interval = _factor(ordered, within)
    found = Formula(
        path,
        rows,
        bad,
        velocity,
        tangent if target_guided and tangent else guided,
        target_guided,
        None,
        None,
        None,
        factor,
        per_interval,
        tangent,
        (times[0][0], times[0][1]) if len(times) == 1 else None,
        max((row.target.step for row in rows), default=0.0),
        _calls(pool),
    )
    _find_window(found)
    without = [
        row
        for row in good
        if not row.target.own_label and row.run.labelled and not row.target.ambiguous
    ]
    if any(row.target.own_label for row in good):
        # Rows with r < t show it; where there are none, those with r = t must.
        for listed in ([row for row in without if not row.equal], without):
            if listed and found.dropped is None:
                found.dropped = _common(
                    [_guidance(row, velocity, path, found.hidden(row)) for row in listed]
                )
    return found


def _velocity(path: Path, rows: list[Row], within: float) -> tuple[Path, Velocity]:
    """v by the rows whose target holds no other answer; the path's noise with it."""
    plain = [row for row in rows if abs(row.network()) < 1e-6 and not row.target.twins] or [
        row for row in rows if abs(row.network()) < 1e-6 and not row.equal
    ]
    shares = [(row, 1.0) for row in plain] or [
        (row, 1 - row.network()) for row in rows if not row.equal and abs(1 - row.network()) > 1e-6
    ]
    if not shares:
        return path, Velocity("own", 1.0)
    pairs = [(row.t, row.p / share, row.q / share) for row, share in shares]
    own = [
        (p * path.velocity(t)[0] + q * path.velocity(t)[1])
        / (path.velocity(t)[0] ** 2 + path.velocity(t)[1] ** 2)
        for t, p, q in pairs
    ]
    apart = [abs(p * path.velocity(t)[1] - q * path.velocity(t)[0]) for t, p, q in pairs]
    if alike(own, within) and max(apart) < within * 10:
        return path, Velocity("own", float(np.median(own)))
    p, q = ([pair[k] for pair in pairs] for k in (1, 2))
    if alike(p, within) and alike(q, within):
        return path, Velocity("constant", float(np.median(p)), float(np.median(q)))
    if path.name == "linear" and alike(p, within) and len(pairs) > 2:
        # v = e - X on another amount of noise: sigma = t / q, a line in t.
        t = np.array([pair[0] for pair in pairs])
        sigma = t / np.array(q) * -np.median(p)
        slope, start = np.polyfit(t, sigma, 1)
        if np.abs(start + slope * t - sigma).max() < within * 10:
            if abs(slope - 1) < 1e-6:  # v is the path's own; at t = 1 there is noise alone
                whole = 1 / (1 + start)
                return replace(path, noise=(start * whole, whole)), Velocity("own", 1.0)
            noise = float(start), float(slope)
            return replace(path, noise=noise), Velocity("constant", float(np.median(p)), 1.0)
    return path, Velocity("unknown")


def _guidance(
    row: Row, velocity: Velocity, path: Path, hidden: float, tangent: bool = False
) -> Guidance:
    """v_g as a row shows it, with the part that hides in the regressed answer."""
    p, q = (row.tangent_p, row.tangent_q) if tangent else (row.p, row.q)
    if path.noise != (0.0, 1.0):
        q = (row.tangent_z if tangent else row.target.z) * path.sigma(row.t)
    alpha, sigma = velocity.at(path, row.t)
    size = alpha**2 + sigma**2
    v = (p * alpha + q * sigma) / size if size else np.nan
    found = Guidance(v, *(row.coefficient(label, tangent) for label in ("null", "own", "other")))
    label = "own" if row.target.own_label else "null"
    if tangent:
        if row.tangent_self and label == "own":
            found = replace(found, own=found.own + row.tangent_self)
        elif row.tangent_self:
            found = replace(found, null=found.null + row.tangent_self)
        return found
    found = found.times(1 - hidden)
    if hidden and label == "own":
        return replace(found, own=found.own + hidden)
    return replace(found, null=found.null + hidden) if hidden else found


def _common(found: Sequence[Guidance]) -> Guidance | None:
    """The coefficients that most rows share: of guided rows where some are not guided."""
    if not found:
        return None
    changed = [one for one in found if not one.is_none]
    chosen = changed or found
    return max(chosen, key=lambda one: sum(one.near(x, 1e-4) for x in chosen))


def _factor(rows: list[Row], within: float) -> tuple[float, bool]:
    """k, and whether it multiplies t - r."""
    plain = [row.target.derivative * (1 - self_coefficient(row)) for row in rows]
    if not rows:
        return 0.0, True
    if not np.isfinite(plain).any():
        return 0.0, True
    each = [value / row.h for value, row in zip(plain, rows, strict=True)]
    if alike(each, within):
        return float(np.median(each)), True
    if alike(plain, within):
        return float(np.median(plain)), False
    return float("nan"), True


def _calls(rows: list[Row]) -> dict[int, set[int]]:
    """By run: calls whose answers stand in the targets of these rows."""
    found: dict[int, set[int]] = {}
    for row in rows:
        for other, value in row.terms:
            if abs(value) > 1e-9:
                found.setdefault(id(row.run), set()).add(int(row.run.rows.call[other.row]))
        if self_coefficient(row):
            found.setdefault(id(row.run), set()).update(row.target.twins)
    return found


def _find_window(found: Formula) -> None:
    """Times between which labelled rows are guided, if some are not."""
    if found.guided.is_none or found.target_guided:
        return
    inside: list[float] = []
    outside: list[float] = []
    for row in found.good:
        if row.target.own_label and not row.target.ambiguous:
            plain = _guidance(row, found.velocity, found.path, 0.0).is_none
            (outside if plain else inside).append(row.t)
    if not outside or not inside:
        return
    below = [t for t in outside if t < min(inside)]
    above = [t for t in outside if t > max(inside)]
    start = (max(below), min(inside)) if below else (0.0, min(inside))
    end = (max(inside), min(above)) if above else (max(inside), 1.0)
    found.bounds = start, end
    found.window = _round_between(*start) if below else 0.0, _round_between(*end) if above else 1.0


def _round_between(low: float, high: float) -> float:
    """The shortest number between two."""
    for digits in range(1, 6):
        middle = round((low + high) / 2, digits)
        if low <= middle <= high:
            return middle
    return (low + high) / 2


def weights(found: Formula, run: Run) -> tuple[Array, Array]:
    """Weight and squared error of each image's row: gradient = weight (u - target).

    nan where a row has no gradient; the squared error is summed over pixels and channels.
    """
    weight, squared = np.full(run.batch, np.nan), np.full(run.batch, np.nan)
    for row in found.rows:
        if row.run is run:
            value = row.target.weight / (1 - found.hidden(row))
            gradient = run.rows.cotangent[row.target.row]
            weight[row.target.image] = value
            squared[row.target.image] = float(gradient @ gradient) / value**2 if value else np.nan
    return weight, squared
