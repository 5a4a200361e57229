"""Largest batch whose training step fits a device's memory."""

import math
from collections.abc import Callable

from bench.tpu.compiler import CompilerError
from impls.common.errors import DoesNotFitError
from impls.common.limits import MOST_ROWS
from impls.common.types import Cost

MULTIPLE = 8  # of which the answer is one: rows that a TPU's tile holds
SHARE = 0.95  # of the published memory: the runtime takes some of it
GAIN = 1.02  # a batch that is larger by less is not worth a compilation
MOST_TRIES = 8


def largest_batch(cost: Callable[[int], Cost], memory: float, rows: int) -> int:
    """Largest batch that fits, found by lines through the peak memory of two batches.

    peak_bytes = fixed + per_row * batch      batch = (memory - fixed) / per_row

    The line goes through the two largest batches that were found to fit; where it leads to one that
    does not, the next is the geometric mean of the two. Two compilations more than the first two
    suffice where memory is linear. A batch with which the compiler fails counts as one that does
    not fit, so the answer, which was compiled, may be too small but never too large.

    Args:
        cost: of the step with a number of rows; raises DoesNotFitError.
        memory: of the device, in bytes.
        rows: the smaller of the first two batches; the other one is twice as large.

    Raises:
        DoesNotFitError: if the first batch does not fit.
        CompilerError: if the compiler fails with it.
    """
    fitting = {rows: cost(rows).peak_bytes}
    refused, batch = MOST_ROWS + 1, 2 * rows
    for _ in range(MOST_TRIES):
        try:
            fitting[batch] = cost(batch).peak_bytes
        except (DoesNotFitError, CompilerError):
            refused = batch
        largest = max(fitting)
        batch = _next(fitting, SHARE * memory, refused) // MULTIPLE * MULTIPLE
        if batch < GAIN * largest:
            break
    return largest


def _next(fitting: dict[int, float], memory: float, refused: int) -> int:
    """Batch at which the line through the two largest batches reaches the memory."""
    last = max(fitting)
    before = max((rows for rows in fitting if rows != last), default=0)
    between = math.isqrt(last * refused)
    if not before:
        return between
    per_row = (fitting[last] - fitting[before]) / (last - before)
    batch = last + int((memory - fitting[last]) / per_row) if per_row > 0 else refused
    return batch if batch < refused else between if refused <= MOST_ROWS else MOST_ROWS
