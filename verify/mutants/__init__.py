"""Bugs that the checks must catch: the suite is itself put through a suite.

`MUTANTS` lists bugs that people make, each with checks that must fail because of it; together they
cover every check. `slips` makes every small slip of a text, by rule.
"""

from .method import METHOD
from .parts import PARTS
from .plant import Mutant, altered, mutants, planted
from .runs import RUNS
from .slips import Slip, slips
from .training import TRAINING
from .vision import VISION

MUTANTS = (*METHOD, *PARTS, *VISION, *TRAINING, *RUNS)
