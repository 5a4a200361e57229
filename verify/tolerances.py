"""Tolerances for rounding errors, derived from the rounding error of NumPy itself.

The reference, run in float32 through the same check, has some error d against its float64 result.
Another float32 evaluation of the same mathematics may sum in another order and call another exp: it
is allowed FACTOR times d. A float64 evaluation is allowed the same, scaled by the ratio of the unit
roundoffs, times FACTOR_FLOAT64, because double-precision elementary functions are accurate to
several units where single-precision ones are nearly exact. If a check has an error of its own even
in float64 (a finite difference), FACTOR times the reference's float64 error is added. No tolerance
is scaled by an array's size or loosened for a backend.

The errors of the built-in cases are stored in tolerances.json, so that tolerances are the same on
every machine; `python -m verify.rounding` measures them again. Those of other golden folders are
measured by the same rule when they are checked.
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
    """Tolerance in a dtype from the reference's errors in float32 and float64."""
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
