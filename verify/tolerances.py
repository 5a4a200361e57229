"""How much rounding is excused, and why.

The measure is what NumPy itself does: the reference, run in float32 through the same check, lies at
some distance d from its float64 answer. Another float32 evaluation of the same mathematics may sum
in another order and call another exp, and gets FACTOR times d. A float64 evaluation gets the same,
scaled by the ratio of the units of rounding, and FACTOR_FLOAT64 once more, because double-precision
elementary functions are good to several units where single-precision ones are nearly exact. Where a
check has an error of its own even in float64 (a finite difference), FACTOR times the reference's
float64 distance is added. Nothing is scaled by an array's size or loosened for a backend.

The distances of the built-in cases are stored in tolerances.json, so that a tolerance does not move
from machine to machine; `python -m verify.rounding` measures them anew. Golden folders of other
sizes bring other distances, which are measured by the same rule when they are checked.
"""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

FACTOR = 8.0
FACTOR_FLOAT64 = 8.0
HALF_UNIT = {np.float32: 2.0**-24, np.float64: 2.0**-53}  # relative size of one rounding
STORED = Path(__file__).with_suffix(".json")


def rounding_tolerance(dtype: Any, distance32: float, distance64: float = 0.0) -> float:
    """Tolerance of a dtype from the reference's distances in float32 and float64."""
    tolerance = FACTOR * max(distance32, HALF_UNIT[np.float32])
    if dtype == np.float32:
        return tolerance
    scale = HALF_UNIT[np.float64] / HALF_UNIT[np.float32] * FACTOR_FLOAT64
    return tolerance * scale + FACTOR * distance64


def tolerance(check: str, dtype: Any) -> tuple[float, str]:
    """Stored tolerance of a check and its reason.

    Raises:
        KeyError: for a check that was never measured.
    """
    if check not in _stored():
        raise KeyError(f"{STORED.name} has no entry for {check}: run python -m verify.rounding")
    entry = _stored()[check]
    return rounding_tolerance(dtype, entry["float32"], entry["float64"]), entry["reason"]


@functools.cache
def _stored() -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(STORED.read_text())
    return stored
