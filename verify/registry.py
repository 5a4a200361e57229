"""The list of checks: each a function whose name is a sentence that should be true.

A check takes a `Probe` (a subject at one dtype), compares, and returns its worst error as a float.
What it cannot say anything about it declares by raising `NotApplicable` with the reason.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from verify.probe import Probe

DTYPES = (np.float64, np.float32)
FAMILIES = (
    "draws",
    "data",
    "weights",
    "network",
    "jvp",
    "objective",
    "gradient",
    "sampling",
    "autoencoder",
    "inception",
    "training",
    "precision",
    "checkpoint",
    "official",
    "published",
    "cross",
)


class NotApplicable(Exception):
    """This check has nothing to say here; the message is the reason."""


@dataclass(frozen=True)
class Check:
    """One check: `function(probe) -> worst error`, or `function(probe, other)` in family cross."""

    name: str
    family: str
    function: Callable[..., float]
    needs: tuple[str, ...]  # protocol names without which it is not applicable
    exact: bool  # no rounding is excused: the tolerance is 0
    like: str  # the check whose tolerance applies, its own name by default

    @property
    def sentence(self) -> str:
        """What it says, for people: the first line of its docstring."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


_CHECKS: dict[str, Check] = {}


def check(family: str, needs: str, *, exact: bool = False, like: str = "") -> Callable[[Any], Any]:
    """Register a function as a check of a family.

    Args:
        needs: protocol names, separated by spaces.
        exact: no rounding is excused.
        like: for a check that compares a subject with itself: the check against the reference
            that measures the rounding of what is compared.
    """
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family}")

    def register(function: Callable[[Probe], float]) -> Callable[[Probe], float]:
        name = function.__name__
        if name in _CHECKS:
            raise ValueError(f"two checks are called {name}")
        _CHECKS[name] = Check(name, family, function, tuple(needs.split()), exact, like or name)
        return function

    return register


def all_checks() -> dict[str, Check]:
    """Every check by name, in the order of families and of their files."""
    import verify.checks

    for module in pkgutil.iter_modules(verify.checks.__path__):
        importlib.import_module(f"verify.checks.{module.name}")
    return dict(sorted(_CHECKS.items(), key=lambda item: FAMILIES.index(item[1].family)))
