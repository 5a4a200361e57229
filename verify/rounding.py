"""Rounding errors of NumPy in every check, stored by `python -m verify.rounding`."""

import json
import math
from typing import Any

import numpy as np

import reference
from verify.cases import cases
from verify.checks import all_checks
from verify.probe import Probe
from verify.runner import worst_error
from verify.tolerances import STORED


def measure() -> dict[str, dict[str, Any]]:
    """Error of the reference in each dtype against its float64 results, for every check.

    A cross check is measured between the reference in float32 and in float64. A check that is not
    applicable in float32 is measured in float64 alone.
    """
    wide, narrow = (Probe(reference, dtype, cases()) for dtype in (np.float64, np.float32))
    entries: dict[str, dict[str, Any]] = {}
    for name, check in all_checks().items():
        if check.exact or check.like != name or check.allow is not None:
            continue
        if check.each in ("golden", "training"):
            continue
        crossed = check.family == "cross"
        error32 = worst_error(check, narrow, wide) if crossed else worst_error(check, narrow)
        error64 = None if crossed else worst_error(check, wide)
        measured = [error for error in (error32, error64) if error is not None]
        if measured:
            d32, d64 = (_two_digits(float(error or 0)) for error in (error32, error64))
            lies = f"NumPy lies {d32:.1e} in float32 and {d64:.1e} in float64 from the answer"
            reason = f"{lies} ({measured[0].where})"
            entries[name] = {"float32": d32, "float64": d64, "reason": reason}
    return entries


def _two_digits(value: float) -> float:
    """Number rounded up to two digits, so that it is readable and never too small."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit) * unit:.1e}")


if __name__ == "__main__":
    STORED.write_text(json.dumps(measure(), indent=1) + "\n")
    print(f"wrote {STORED.name}")
