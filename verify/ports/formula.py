"""The formula that all regressed rows of a loss share, and the rows that it does not explain.

    target = a v + b u(z, t, 0, null) + c u(z, t, 0, y) + k (t - r) du/dt

A row with r = t and its own label holds u(z, t, 0, y) in the regressed answer itself, so what is
seen of it is divided by 1 - c; likewise with b where it has no label.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from verify.ports.reading import Path, Row, alike
from verify.ports.runs import Run


@dataclass(frozen=True)
class Guidance:
    """Coefficients of v_g, and which answers it is made of."""

    v: float = 1.0
    null: float = 0.0
    own: float = 0.0
    other: float = 0.0  # of an answer with the label of a class that is not the image's

    @property
    def is_none(self) -> bool:
        """Whether v_g = v."""
        return all(abs(x) < 1e-6 for x in (self.v - 1, self.null, self.own, self.other))

    def near(self, other: "Guidance", within: float = 1e-6) -> bool:
        """Whether both are the same formula."""
        ours = (self.v, self.null, self.own, self.other)
        return all(
            abs(a - b) < within
            for a, b in zip(ours, (other.v, other.null, other.own, other.other), strict=True)
        )


@dataclass
class Formula:
    """What the target is made of, as measured."""

    path: Path
    rows: list[Row]
    velocity: tuple[float, float] | None  # p and q where they are no multiple of the path's own
    guided: Guidance  # of labelled rows
    window: tuple[float, float] | None  # times of guided rows; None: all labelled rows are guided
    dropped: Guidance | None  # of unlabelled rows; None where none was seen
    factor: float  # k; nan where it is not one number
    per_interval: bool  # whether du/dt is multiplied by t - r; else by k alone
    tangent_guided: Guidance | None  # of the tangent in z
    tangent_times: tuple[float, float] | None  # dt and dr
    step: float  # of a finite difference, else 0
    unexplained: list[Row] = field(default_factory=list)


def formula(path: Path, rows: list[Row], expected: Guidance) -> Formula:
    """The formula of the rows; `expected` decides where a batch has rows with r = t only."""
    within = max((row.run.exact for row in rows), default=1e-9) * 1e3
    good = [row for row in rows if row.target.rest < within]
    bad = [row for row in rows if not row.target.rest < within]
    apart = [row for row in good if not row.equal]
    labelled = [row for row in apart if row.target.own_label]
    pool = labelled or apart
    velocity = None
    q_of = _unit_velocity(path, good)
    if q_of is None and good:
        velocity = (float(np.median([row.p for row in good])), float(np.median([row.q for row in good])))
    guided = _common([_read(row, path) for row in pool], within)
    if guided is None:
        guided = expected
    window = _window(good, path, guided, within)
    without = [row for row in good if not row.target.own_label and row.run.labelled]
    dropped = _common([_undone(row, path, guided) for row in without], within * 10)
    factors = [row.target.derivative / row.h for row in apart if np.isfinite(row.target.derivative)]
    plain = [row.target.derivative for row in apart if np.isfinite(row.target.derivative)]
    per_interval = not (len(plain) > 1 and alike(plain, within) and not alike(factors, within))
    chosen = factors if per_interval else plain
    factor = float(np.median(chosen)) if alike(chosen, within * 10) else float("nan")
    if not chosen:
        factor = 0.0
    seen = [row for row in pool if row.target.tangent is not None]
    tangent = _common([_read(row, path, tangent=True) for row in seen if _inside(row, window)], within)
    times = sorted({(round(row.target.tangent[0], 6), round(row.target.tangent[1], 6))
                    for row in seen if row.target.tangent})  # fmt: skip
    return Formula(
        path, rows, velocity, guided, window, dropped, factor, per_interval, tangent,
        times[0] if len(times) == 1 else None, max((row.target.step for row in rows), default=0.0),
        bad,
    )  # fmt: skip


def _inside(row: Row, window: tuple[float, float] | None) -> bool:
    return window is None or window[0] <= row.t <= window[1]


def _unit_velocity(path: Path, rows: list[Row]) -> bool | None:
    """Whether p and q are one multiple of the path's own velocity in every row."""
    for row in rows:
        alpha, sigma = path.velocity(np.asarray(row.t))
        size = abs(row.p) + abs(row.q)
        if abs(row.p * float(sigma) - row.q * float(alpha)) > 1e-5 * max(size, 1e-9):
            return None
    return True


def _read(row: Row, path: Path, tangent: bool = False) -> Guidance:
    """v_g as a row shows it."""
    alpha, sigma = path.velocity(np.asarray(row.t))
    p, q = (row.tangent_p, row.tangent_q) if tangent else (row.p, row.q)
    own = float((p * alpha + q * sigma) / (alpha**2 + sigma**2))
    return Guidance(
        own, row.coefficient("null", tangent), row.coefficient("own", tangent),
        row.coefficient("other", tangent),
    )  # fmt: skip


def _undone(row: Row, path: Path, guided: Guidance) -> Guidance:
    """v_g of an unlabelled row; where r = t, the null answer hides in the regressed one."""
    seen = _read(row, path)
    if not row.equal:
        return seen
    if seen.near(Guidance(), 1e-5):
        return Guidance()
    hidden = 1 - guided.null
    return Guidance(seen.v * hidden, guided.null, seen.own * hidden, seen.other * hidden)


def _common(found: Iterable[Guidance], within: float) -> Guidance | None:
    """The coefficients that most rows share: guided ones where some are not."""
    listed = list(found)
    if not listed:
        return None
    changed = [one for one in listed if not one.near(Guidance(), 1e-5)]
    chosen = changed or listed
    best = max(chosen, key=lambda one: sum(one.near(x, max(within, 1e-6) * 10) for x in chosen))
    return best


def _window(
    rows: list[Row], path: Path, guided: Guidance, within: float
) -> tuple[float, float] | None:
    """Times between which labelled rows are guided, if some are not."""
    if guided.is_none:
        return None
    inside, outside = [], []
    for row in rows:
        if row.target.own_label:
            plain = _read(row, path).near(Guidance(), 1e-5)
            (outside if plain else inside).append(row.t)
    if not outside or not inside:
        return None
    below = [t for t in outside if t < min(inside)]
    above = [t for t in outside if t > max(inside)]
    start = (max(below) + min(inside)) / 2 if below else 0.0
    end = (min(above) + max(inside)) / 2 if above else 1.0
    return start, end


def weights(found: Formula, run: Run, rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Weight and squared error of each image's row: gradient = weight (u - target).

    nan where a row has no gradient; the squared error is summed over pixels and channels.
    """
    weight, squared = np.full(run.batch, np.nan), np.full(run.batch, np.nan)
    for row in rows:
        if row.run is not run:
            continue
        value = row.target.weight / (1 - hidden(found, row))
        gradient = run.rows.cotangent[row.target.row]
        weight[row.target.image] = value
        squared[row.target.image] = float(gradient @ gradient) / value**2 if value else np.nan
    return weight, squared


def hidden(found: Formula, row: Row) -> float:
    """Coefficient in the target of the very answer that is regressed, where r = t; else 0."""
    if not row.equal:
        return 0.0
    if _read(row, found.path).near(Guidance(), 1e-5):
        return 0.0
    if row.target.own_label:
        return found.guided.own if _inside(row, found.window) else 0.0
    return found.guided.null + (found.guided.own if not row.run.labelled else 0.0)
