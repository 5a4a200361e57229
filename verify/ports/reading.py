"""What a loss computes, in the paper's terms, from the targets of its rows.

    z = alpha X + sigma e,   X = scale x + offset
    target = p X + q e + b u(z, t, 0, null) + c u(z, t, 0, y) + … + k du/dt

with p = -1, q = 1 where the velocity is the paper's, v = e - X.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verify.ports.runs import Run
from verify.ports.solve import Other, Target, solve

SAME_TIME = 1e-6  # h below which a row counts as r = t


@dataclass(frozen=True)
class Path:
    """The path of a port: coefficients of data and noise, and how it scales its images."""

    name: str = "linear"  # linear, reversed, cosine or unknown
    scale: float = 1.0
    offset: float = 0.0
    noise: tuple[float, float] = (0.0, 1.0)  # linear: sigma = noise_0 + noise_1 t
    at_r: bool = False  # whether z is taken at r instead of t

    def alpha(self, t: float) -> float:
        """Coefficient of the data."""
        if self.name == "reversed":
            return t
        return float(np.cos(np.pi * t / 2)) if self.name == "cosine" else 1 - t

    def sigma(self, t: float) -> float:
        """Coefficient of the noise."""
        if self.name == "reversed":
            return 1 - t
        if self.name == "cosine":
            return float(np.sin(np.pi * t / 2))
        return self.noise[0] + self.noise[1] * t

    def velocity(self, t: float) -> tuple[float, float]:
        """Derivatives of alpha and sigma."""
        if self.name == "reversed":
            return 1.0, -1.0
        if self.name == "cosine":
            angle = np.pi * t / 2
            return float(-np.pi / 2 * np.sin(angle)), float(np.pi / 2 * np.cos(angle))
        return -1.0, self.noise[1]


@dataclass(eq=False)  # rows are compared by identity
class Row:
    """One regressed row, with its target in the paper's terms."""

    run: Run
    target: Target
    p: float  # coefficient of the data X
    q: float  # of the noise
    terms: list[tuple[Other, float]]
    tangent_p: float  # the same of the tangent in z
    tangent_q: float
    tangent_z: float
    tangent_terms: list[tuple[Other, float]]
    tangent_self: float  # coefficient in the tangent of the regressed answer itself

    @property
    def t(self) -> float:
        """Time of the row."""
        return self.target.t

    @property
    def h(self) -> float:
        """Length of the interval, t - r."""
        return self.target.h

    @property
    def equal(self) -> bool:
        """Whether r = t."""
        return abs(self.h) < SAME_TIME

    @property
    def offset(self) -> float:
        """Constant that images are shifted by, in units of their scale; nan if not seen."""
        return self.target.one / self.target.x if abs(self.target.x) > 1e-9 else np.nan

    @property
    def scale(self) -> float:
        """Factor of the images, if the velocity is that of the line."""
        return -self.target.x / self.target.z if abs(self.target.z) > 1e-9 else np.nan

    def coefficient(self, label: str, tangent: bool = False) -> float:
        """Sum of the coefficients of answers with a label: own, null or other."""
        terms = self.tangent_terms if tangent else self.terms
        return sum(value for other, value in terms if other.label == label)

    def network(self) -> float:
        """Sum of the coefficients of all other answers of the network."""
        return sum(value for _, value in self.terms)


def main_rows(run: Run) -> list[int]:
    """The regressed row of each image: of those with a gradient, one with a tangent or r < t."""
    rows, found = run.rows, list[int]()
    size = np.sqrt((rows.cotangent**2).sum(1))
    for j in range(run.batch):
        candidates = np.flatnonzero((rows.image == j) & (size > 0))
        if len(candidates) > 1:
            tangents = np.flatnonzero((rows.image == j) & rows.has_tangent)

            def rank(i: int, tangents: NDArray[np.int64] = tangents) -> tuple[bool, bool, float]:
                near = np.abs(rows.t[tangents] - rows.t[i]) + np.abs(rows.h[tangents] - rows.h[i])
                own = rows.label[tangents] == rows.label[i]
                later = bool(abs(rows.h[i]) > SAME_TIME)
                return bool((own & (near < 1e-9)).any()), later, float(size[i])

            found.append(max(candidates.tolist(), key=rank))
        else:
            found += candidates.tolist()
    return found


def path_of(runs: list[Run]) -> Path:
    """The path by the factor of the image in z, exact where rows were matched to images."""
    factor, t, r = [], [], []
    for run in runs:
        for i in main_rows(run):
            factor.append(run.rows.factor[i])
            t.append(run.rows.t[i])
            r.append(run.rows.t[i] - run.rows.h[i])
    factors, times, starts = np.array(factor), np.array(t), np.array(r)
    within = max(run.within for run in runs)
    for at_r, time in ((False, times), (True, starts)):
        known = np.isfinite(factors) & (time > 0.02) & (time < 0.98)
        for name in ("linear", "reversed", "cosine"):
            alpha = np.array([Path(name).alpha(s) for s in time[known]])
            ratio = factors[known] / alpha
            if known.any() and np.ptp(ratio) <= within * max(1.0, np.abs(ratio).max()):
                return Path(name, short(float(np.median(ratio))), at_r=at_r)
    return Path("unknown") if np.isfinite(factors).any() else Path()


def read(run: Run, path: Path) -> list[Row]:
    """Rows of a run, in the paper's terms; with its own scale where images are standardised."""
    rows = [_row(run, solve(run, i), path) for i in main_rows(run)]
    scales = [row.scale for row in rows if np.isfinite(row.scale)]
    if run.matched or not alike(scales, 1e-6):
        return rows
    own = replace(path, name="linear", scale=float(np.median(scales)))
    return [_row(run, row.target, own) for row in rows]


def _row(run: Run, target: Target, path: Path) -> Row:
    time = target.t - target.h if path.at_r else target.t
    alpha, sigma = path.alpha(time), path.sigma(time)
    names = dict(enumerate(other for other, _ in target.others))
    direction = target.direction
    return Row(
        run,
        target,
        p=target.x / path.scale + target.z * alpha,
        q=target.z * sigma,
        terms=target.others,
        tangent_p=direction.get("x", np.nan) / path.scale + direction.get("z", np.nan) * alpha,
        tangent_q=direction.get("z", np.nan) * sigma,
        tangent_z=direction.get("z", np.nan),
        tangent_terms=[
            (names[int(key[1:])], value)
            for key, value in direction.items()
            if key[:1] == "u" and len(key) > 1
        ],
        tangent_self=direction.get("u", 0.0),
    )


def short(value: float) -> float:
    """A number that is round but for rounding, round."""
    for digits in range(5):
        if abs(value - round(value, digits)) < 1e-6 * max(1.0, abs(value)):
            return float(round(value, digits)) + 0.0
    return value


def text(value: float) -> str:
    """A number in a formula, as short as it is exact."""
    return f"{short(value):.6g}"


def alike(values: list[float], within: float) -> bool:
    """Whether values are one number but for rounding."""
    return bool(values) and bool(np.ptp(values) <= within * max(1.0, float(np.max(np.abs(values)))))
