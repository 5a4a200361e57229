"""What a loss computes, in the paper's terms, from the targets of its rows.

    z = alpha(t) X + sigma(t) e,   X = scale x + offset
    target = p X + q e + b u(z, t, 0, null) + c u(z, t, 0, y) + … + k du/dt

with p = -1, q = 1 where the velocity is the paper's, v = e - X. Coefficients that are alike in all
rows make the formula; each finding reads it.
"""

from dataclasses import dataclass

import numpy as np

from verify.ports.observation import Array
from verify.ports.runs import Run
from verify.ports.solve import Other, Target, solve

SAME_TIME = 1e-6  # h below which a row counts as r = t


@dataclass
class Path:
    """The path of a port: coefficients of data and noise, and how it scales its images."""

    name: str  # linear, reversed, cosine or unknown
    scale: float
    offset: float

    def alpha(self, t: Array) -> Array:
        """Coefficient of the data."""
        if self.name == "reversed":
            return t
        return np.cos(np.pi * t / 2) if self.name == "cosine" else 1 - t

    def sigma(self, t: Array) -> Array:
        """Coefficient of the noise."""
        if self.name == "reversed":
            return 1 - t
        return np.sin(np.pi * t / 2) if self.name == "cosine" else t

    def velocity(self, t: Array) -> tuple[Array, Array]:
        """Derivatives of alpha and sigma."""
        one = np.ones_like(t)
        if self.name == "reversed":
            return one, -one
        if self.name == "cosine":
            return -np.pi / 2 * np.sin(np.pi * t / 2), np.pi / 2 * np.cos(np.pi * t / 2)
        return -one, one


def path_of(runs: list[Run]) -> Path:
    """The path by the factor of the image in z, exact where rows were matched to images."""
    factor = np.concatenate([run.rows.factor for run in runs])
    t = np.concatenate([run.rows.t for run in runs])
    known = np.isfinite(factor) & (t > 0.02) & (t < 0.98)
    if not known.any():
        return Path("linear", 1.0, 0.0)
    exact = max(run.exact for run in runs) * 100
    for name in ("linear", "reversed", "cosine"):
        path = Path(name, 1.0, 0.0)
        ratio = factor[known] / path.alpha(t[known])
        if np.ptp(ratio) <= exact * max(1.0, np.abs(ratio).max()):
            return Path(name, _short(float(np.median(ratio))), 0.0)
    return Path("unknown", 1.0, 0.0)


@dataclass(eq=False)  # rows are compared by identity
class Row:
    """One regressed row, with its target in the paper's terms."""

    run: Run
    target: Target
    p: float  # coefficient of the data X
    q: float  # of the noise
    offset: float  # what a constant in the target says of the port's scaling of images
    terms: list[tuple[Other, float]]
    tangent_p: float  # the same of the tangent in z
    tangent_q: float
    tangent_terms: list[tuple[Other | None, float]]  # None: the regressed answer itself

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

    def coefficient(self, label: str, tangent: bool = False) -> float:
        """Sum of the coefficients of u(z, t, ., label): own, null or other."""
        terms = self.tangent_terms if tangent else self.terms
        found = 0.0
        for other, value in terms:
            if other is None:
                found += value if label == ("own" if self.target.own_label else "null") else 0.0
            elif other.label == label and other.same_z:
                found += value
        return found


def main_rows(run: Run) -> list[int]:
    """The regressed row of each image: with a gradient, and with a tangent where several have one."""
    rows, found = run.rows, []
    size = np.sqrt((rows.cotangent**2).sum(1))
    for j in range(run.batch):
        candidates = np.flatnonzero((rows.image == j) & (size > 0))
        if not len(candidates):
            continue

        def rank(i: int) -> tuple[bool, bool, float]:
            same = (rows.image == rows.image[i]) & rows.has_tangent
            near = np.abs(rows.t - rows.t[i]) + np.abs(rows.h - rows.h[i]) < 1e-9
            apart = np.abs(rows.label - rows.label[i]) == 0
            return bool((same & near & apart).any()), bool(abs(rows.h[i]) > SAME_TIME), size[i]

        found.append(int(max(candidates, key=rank)))
    return found


def read(run: Run, path: Path) -> list[Row]:
    """Rows of a run, in the paper's terms."""
    return [_row(run, solve(run, i), path) for i in main_rows(run)]


def _row(run: Run, target: Target, path: Path) -> Row:
    t = np.asarray(target.t)
    alpha, sigma = float(path.alpha(t)), float(path.sigma(t))
    shift = target.one / target.x * path.scale if abs(target.x) > 1e-9 else np.nan
    names = dict(enumerate(other for other, _ in target.others))
    tangent_terms: list[tuple[Other | None, float]] = []
    for key, value in target.direction.items():
        if key == "u":
            tangent_terms.append((None, value))
        elif key.startswith("u"):
            tangent_terms.append((names[int(key[1:])], value))
    direction = target.direction
    return Row(
        run, target,
        p=target.x / path.scale + target.z * alpha, q=target.z * sigma,
        offset=float(shift), terms=target.others,
        tangent_p=direction.get("x", np.nan) / path.scale + direction.get("z", np.nan) * alpha,
        tangent_q=direction.get("z", np.nan) * sigma,
        tangent_terms=tangent_terms,
    )  # fmt: skip


def _short(value: float) -> float:
    """A number that is round but for rounding, round."""
    for digits in range(5):
        if abs(value - round(value, digits)) < 1e-6 * max(1.0, abs(value)):
            return float(round(value, digits))
    return value


def text(value: float) -> str:
    """A number in a formula, as short as it is exact."""
    return f"{_short(value):.6g}"


def alike(values: list[float], within: float) -> bool:
    """Whether values are one number but for rounding."""
    return bool(values) and bool(np.ptp(values) <= within * max(1.0, float(np.max(np.abs(values)))))
