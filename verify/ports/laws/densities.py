"""Joint laws of the times (t, r): densities and distribution functions.

Two raw draws a and b, of laws F_a and F_b, become t and r in one of several orders. A row has
r = t either because it is masked (a share p of the rows), or because of the order.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy import special

from verify.ports.observation import Array
from verify.ports.settings import Settings

TINY = 1e-15

Order = Literal["max", "min", "masked first", "t := r", "product", "unordered"]
# fmt: off
ORDERS: dict[Order, str] = {
    "max": "t = max, r = min, then r := t in masked rows",
    "min": "r := t in masked rows before r = min(t, r)",
    "masked first": "r := t in masked rows before t = max, r = min",
    "t := r": "t = max, r = min, then t := r in masked rows",
    "product": "r = U t",
    "unordered": "t and r not ordered, r > t in some rows",
}
# fmt: on


@dataclass(frozen=True)
class Raw:
    """Law of one raw draw: low + (high - low) x, x = sigmoid(mean + std n) or uniform.

    Attributes:
        cut: n is drawn again where it is outside.
    """

    kind: Literal["logit_normal", "uniform"] = "logit_normal"
    mean: float = 0.0
    std: float = 1.0
    low: float = 0.0
    high: float = 1.0
    cut: tuple[float, float] = (-math.inf, math.inf)

    def _score(self, t: Array) -> tuple[Array, Array]:
        x = np.clip((t - self.low) / (self.high - self.low), TINY, 1 - TINY)
        return x, (special.logit(x) - self.mean) / self.std

    @property
    def _kept(self) -> tuple[float, float]:
        below, above = special.ndtr(np.array(self.cut))
        return float(below), float(above - below)

    def cdf(self, t: Array) -> Array:
        """Distribution function F(t)."""
        x, n = self._score(t)
        if self.kind == "uniform":
            return x
        below, kept = self._kept
        cdf: Array = np.clip((special.ndtr(n) - below) / kept, TINY, 1)
        return cdf

    def log_density(self, t: Array) -> Array:
        """Logarithm of the density f(t); -inf outside the support."""
        x, n = self._score(t)
        outside = (t < self.low) | (t > self.high)
        log = np.full(x.shape, -math.log(self.high - self.low))
        if self.kind == "logit_normal":
            outside |= (n < self.cut[0]) | (n > self.cut[1])
            log += -0.5 * n**2 - 0.5 * math.log(2 * math.pi) - math.log(self.std)
            log -= np.log(x) + np.log1p(-x) + math.log(self._kept[1])
        return np.where(outside, -np.inf, log)


@dataclass(frozen=True)
class Law:
    """Joint law of (t, r), r = t in a `share` p of masked rows.

    A = F_a(t), B = F_b(t), and a, b their densities, stand in the formulas.
    """

    first: Raw
    second: Raw
    order: Order
    share: float

    def cdf_equal(self, t: Array) -> Array:
        """Distribution function of t in rows with r = t."""
        big_a, big_b = self.first.cdf(t), self.second.cdf(t)
        if self.order == "max":
            return big_a * big_b
        if self.order == "t := r":
            return big_a + big_b - big_a * big_b
        if self.order == "min":
            p = self.share
            return (big_a - (1 - p) * self._below(t)) / (1 - (1 - p) * self.unmasked_below)
        return big_a

    def cdf_unequal(self, t: Array) -> Array:
        """Distribution function of t in rows with r < t."""
        big_a = self.first.cdf(t)
        if self.order in ("max", "masked first", "t := r"):
            return big_a * self.second.cdf(t)
        return self._below(t) / self.unmasked_below if self.order == "min" else big_a

    def cdf_r(self, r: Array, t: Array) -> Array:
        """Distribution function of r at given t, in rows with r < t."""
        if self.order == "product":
            return self.second.cdf(r / np.maximum(t, TINY))
        if self.order == "unordered":
            return self.second.cdf(r)
        r = np.minimum(r, t)
        if self.order == "min":
            return self.second.cdf(r) / self.second.cdf(t)
        a, b = np.exp(self.first.log_density(t)), np.exp(self.second.log_density(t))
        above = a * self.second.cdf(r) + b * self.first.cdf(r)
        return above / np.maximum(a * self.second.cdf(t) + b * self.first.cdf(t), 1e-300)

    def log_equal(self, t: Array) -> Array:
        """Logarithm of the density of (r = t, t)."""
        a, big_a = self.first.log_density(t), self.first.cdf(t)
        alike = self.first == self.second
        b, big_b = (a, big_a) if alike else (self.second.log_density(t), self.second.cdf(t))
        p = max(self.share, TINY)
        if self.order == "max":
            return math.log(p) + np.logaddexp(a + np.log(big_b), b + np.log(big_a))
        if self.order == "t := r":
            return math.log(p) + np.logaddexp(
                a + np.log1p(-big_b + TINY), b + np.log1p(-big_a + TINY)
            )
        if self.order == "min":
            return a + np.log(p + (1 - p) * (1 - big_b))
        return math.log(p) + a

    def log_unequal(self, t: Array, r: Array) -> Array:
        """Logarithm of the density of (r < t, t, r)."""
        unmasked = math.log(max(1 - self.share, TINY))
        a = self.first.log_density(t)
        if self.order == "product":
            t = np.maximum(t, TINY)
            return unmasked + a + self.second.log_density(r / t) - np.log(t)
        pair = a + self.second.log_density(r)
        if self.order not in ("min", "unordered") and self.first == self.second:
            pair = pair + math.log(2)
        elif self.order not in ("min", "unordered"):
            pair = np.logaddexp(pair, self.second.log_density(t) + self.first.log_density(r))
        return unmasked + np.where((r > t) & (self.order != "unordered"), -np.inf, pair)

    @cached_property
    def unmasked_below(self) -> float:
        """Chance that an unmasked row has r < t: P(b < a) where r = min(t, r), else 1."""
        return float(self._table[1][-1]) if self.order == "min" else 1.0

    @cached_property
    def _table(self) -> tuple[Array, Array]:
        """P(b < a, a <= t) at values of t: the integral of a B."""
        n = np.linspace(-9, 9, 6001)
        if self.first.kind == "uniform":
            x = special.ndtr(n)
        else:
            n = np.clip(n, *self.first.cut)
            x = special.expit(self.first.mean + self.first.std * n)
        t = self.first.low + (self.first.high - self.first.low) * x
        big_a, big_b = self.first.cdf(t), self.second.cdf(t)
        steps = np.diff(big_a) * (big_b[1:] + big_b[:-1]) / 2
        return t, np.concatenate([[0.0], np.cumsum(steps)])

    def _below(self, t: Array) -> Array:
        """P(b < a, a <= t)."""
        if self.first == self.second:
            return self.first.cdf(t) ** 2 / 2
        known, below = self._table
        return np.interp(self.first.cdf(t), self.first.cdf(known), below)


def law(settings: Settings) -> Law:
    """The joint law of (t, r) under these settings."""
    first = Raw(settings.noise_dist, settings.P_mean_t, settings.P_std_t)
    second = Raw(settings.noise_dist, settings.P_mean_r, settings.P_std_r)
    return Law(
        first, second, "max" if settings.mask == "after" else "min", settings.data_proportion
    )


def density(settings: Settings, t: Array) -> Array:
    """Density of t over all rows under these settings: f_a F_b + f_b F_a, or f_a."""
    both = law(settings)
    a, b = np.exp(both.first.log_density(t)), np.exp(both.second.log_density(t))
    if both.order == "min":
        return a
    density_of_max: Array = a * both.second.cdf(t) + b * both.first.cdf(t)
    return density_of_max
