"""The largest batch that fits: by lines through peak memories, and never one that was refused."""

import pytest

from bench.tpu.compiler import CompilerError
from bench.tpu.largest_batch import largest_batch
from impls.common.errors import DoesNotFitError
from impls.common.types import Cost

MEMORY = 1000.0


def device(peak, tried):
    """Cost on a device of MEMORY bytes of steps whose peak is a function of the rows."""

    def cost(rows):
        tried.append(rows)
        if peak(rows) > MEMORY:
            raise DoesNotFitError("too large")
        return Cost(1.0, 1.0, peak(rows), 0.0)

    return cost


@pytest.mark.parametrize(
    ("peak", "low", "high", "most_tries"),
    [
        (lambda rows: 100 + rows, 840, 848, 3),  # linear: 95 % of the memory at once
        (lambda rows: 100 + rows**1.2, 260, 288, 9),  # the first line leads too far
        (lambda rows: 100 + max(0, rows - 64), 900, 960, 9),  # no slope in the beginning
    ],
)
def test_it_fits_and_little_more_would(peak, low, high, most_tries):
    tried = []
    assert low <= largest_batch(device(peak, tried), MEMORY, 16) <= high
    assert len(tried) <= most_tries


def test_where_twice_the_batch_does_not_fit_it_is_between():
    tried = []
    found = largest_batch(device(lambda rows: 50 * rows, tried), MEMORY, 16)
    assert found == 16
    assert found in tried


def test_a_batch_with_which_the_compiler_fails_is_left_out():
    def cost(rows):
        if rows > 500:
            raise CompilerError("Check failed")
        return Cost(1.0, 1.0, 100.0 + rows, 0.0)

    assert 300 < largest_batch(cost, MEMORY, 16) <= 500


def test_a_first_batch_that_does_not_fit_is_refused():
    with pytest.raises(DoesNotFitError):
        largest_batch(device(lambda rows: 1e6, []), MEMORY, 16)
