"""Largest batch whose training step fits a device's memory."""

from collections.abc import Callable

from impls.common.errors import DoesNotFitError
from impls.common.limits import MOST_ROWS
from impls.common.types import Cost

MULTIPLE = 8  # of which the answer is one: rows that a TPU's tile holds
SHARES = (1.0, 0.95, 0.9, 0.8)  # of the published memory; the runtime takes some of it


def largest_batch(cost: Callable[[int], Cost], memory: float, rows: int) -> int:
    """Largest batch that fits, by a line through the peak memory of two batches.

    peak_bytes = fixed + per_row * batch      batch = (memory - fixed) / per_row

    The answer was compiled: the compiler, not the line, says that it fits.

    Args:
        cost: of the step with a number of rows; raises DoesNotFitError.
        memory: of the device, in bytes.
        rows: the smaller of the two batches; the other one is twice as large.

    Raises:
        DoesNotFitError: if no such batch fits.
    """
    small, large = cost(rows).peak_bytes, cost(2 * rows).peak_bytes
    per_row = max((large - small) / rows, 1.0)
    fixed = small - per_row * rows
    for share in SHARES:
        most = min(int((share * memory - fixed) / per_row), MOST_ROWS)
        batch = most // MULTIPLE * MULTIPLE
        try:
            if batch > 0:
                cost(batch)
                return batch
        except DoesNotFitError:
            continue
    raise DoesNotFitError(f"no batch that is a multiple of {MULTIPLE} fits")
