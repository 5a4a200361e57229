"""Registry of checks: each is a function whose name is a sentence that should be true.

A check takes a `Probe` (a subject in one dtype; family cross: two). It yields pairs of a place and
the error there, or returns its only error. A check with a parameter named `case`, `golden` or
`training` is called for each built-in case, golden case or golden training in turn. Where it does
not apply it raises `NotApplicable` with the reason, which holds for that case alone, or yields it
in place of an error. Its family is its file, or its folder, in verify/checks.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

DTYPES = (np.float64, np.float32)
FAMILIES = (
    "draws", "data", "weights", "network", "jvp", "objective", "gradient", "sampling",
    "autoencoder", "inception", "training", "precision", "checkpoint", "official", "published",
    "cross",
)  # fmt: skip
PROBLEMS = ("case", "golden", "training")  # parameters of a check that is called for each


class NotApplicable(Exception):
    """Raised where a check does not apply; the message is the reason.

    A subject may raise it from any function for a configuration that it does not implement: that
    case is then left out, and the others are checked.
    """


Errors = Iterator[tuple[str, "float | NotApplicable"]]  # what a check yields: place, error there


@dataclass(frozen=True)
class Check:
    """Check: `function(probe)` gives its errors; `function(probe, other)` in family cross."""

    name: str
    family: str
    function: Callable[..., float | Errors]
    needs: tuple[str, ...]  # protocol names without which it is not applicable; a|b: one of two
    exact: bool = False  # the tolerance is 0
    # The check whose tolerance applies, its own name by default. A check that compares a subject
    # with itself takes that of the check that compares the same quantity with the reference.
    like: str = ""
    allow: float | None = None  # the tolerance of a check whose errors are not rounding
    # Only in `meanflow verify --full`: it takes more than 3 s per subject, trains long or starts
    # processes.
    full: bool = False
    only: Callable[[Any], bool] = lambda _case: True  # selects its cases, or golden cases

    @property
    def each(self) -> str:
        """Member of PROBLEMS that it is called for one by one; "" for a check called once."""
        return next((n for n in inspect.signature(self.function).parameters if n in PROBLEMS), "")

    @property
    def sentence(self) -> str:
        """First line of its docstring: what it states."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


CHECKS: dict[str, Check] = {}


def check(needs: str, **options: Any) -> Callable[[Any], Any]:
    """Decorator that registers a function as a check of the family named by its module.

    Args:
        needs: protocol names, separated by spaces; `loss|loss_and_gradient` means one of the two.
        options: exact, like, allow, full, only: see `Check`.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        name, family = function.__name__, function.__module__.split(".")[2]
        if family not in FAMILIES:
            raise ValueError(f"unknown family {family}")
        if name in CHECKS:
            raise ValueError(f"two checks are called {name}")
        given = {"like": name} | options
        CHECKS[name] = Check(name, family, function, tuple(needs.split()), **given)
        return function

    return register


def checks(needs: str, rows: dict[str, tuple[Any, ...]], **options: Any) -> Callable[[Any], Any]:
    """Decorator that registers a function as several checks, which differ in its last arguments.

    Args:
        rows: name of each check -> its sentence, and its last arguments.
        options: as of `check`.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name, (sentence, *last) in rows.items():
            made = functools.wraps(function)(lambda *first, last=last: function(*first, *last))
            made.__name__, made.__doc__ = name, sentence
            check(needs, **options)(made)
        return function

    return register
