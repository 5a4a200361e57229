"""Bugs that the checks must catch: the suite is itself put through a suite.

`MUTANTS` lists bugs people make, each with the checks that must fail because of it; together they
cover every check. `slips` makes every small slip of a text by rule.
"""

from .listed import MUTANTS
from .plant import Mutant, altered, planted
from .slips import Slip, slips

__all__ = ["MUTANTS", "Mutant", "Slip", "altered", "planted", "slips"]
