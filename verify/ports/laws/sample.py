"""Draws of a port, tested once, and again with a new seed and four times the rows."""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from verify.ports.finding import Verdict
from verify.ports.laws.statistics import FALSE_ALARM
from verify.ports.observation import Draw, Draws
from verify.ports.settings import Settings

Test = Callable[[Draws, Settings], float]  # p-value of "the draws are of these settings"


class Sample:
    """Draws of a port; more of them where something is to be confirmed."""

    def __init__(self, draw: Draw, num_rows: int, batch: int, seed: int) -> None:
        self._draw, self._num_rows, self._batch, self._seed = draw, num_rows, batch, seed
        self.first = draw(num_rows, batch, seed)

    @cached_property
    def second(self) -> Draws:
        """Other draws: four times the rows, another seed."""
        return self._draw(4 * self._num_rows, self._batch, self._seed + 1)

    def small(self, batch: int) -> Draws:
        """A few calls of another batch size."""
        return self._draw(8 * batch, batch, self._seed + 2)

    @property
    def repeated(self) -> bool:
        """Whether every call has the same times."""
        t = self.first.t
        return len(t) > 1 and bool(np.ptp(t, 0).max() == 0 and np.ptp(t) > 0)

    @property
    def unfit(self) -> str:
        """Why nothing can be said of these times; empty where something can."""
        t, r = self.first.t, self.first.r
        if not (np.isfinite(t).all() and np.isfinite(r).all()):
            return "some times are NaN or infinite"
        low, high = min(t.min(), r.min()), max(t.max(), r.max())
        if low < -1e-6 or high > 1 + 1e-6:
            return f"times lie in {low:.4g}..{high:.4g}, expected 0..1"
        if self.repeated:
            return "every call has the same times: the port sets its seed itself"
        return ""

    def rejects(self, test: Test, settings: Settings) -> bool:
        """Whether both draws, independent of each other, are not of these settings."""
        if test(self.first, settings) >= FALSE_ALARM:
            return False
        return test(self.second, settings) < FALSE_ALARM

    def verdict(self, test: Test, expected: Settings, official: Settings) -> Verdict:
        """Verdict on one heading."""
        if self.rejects(test, expected):
            return "differs"
        return "claimed" if expected != official and self.rejects(test, official) else "same"
