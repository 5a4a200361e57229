"""Rows with r = t chosen at random: method.equal_rows "random"."""

import numpy as np

from verify.compare import loss_errors
from verify.probe import Probe
from verify.registry import Errors, check
from verify.variations import with_random_rows


@check("times", exact=True)
def random_rows_have_equal_times(probe: Probe) -> Errors:
    """With equal_rows random, r = t where equal_uniform is below data_proportion, not at it."""
    for proportion in (0.0, 0.25, 0.5, 1.0):
        case = with_random_rows(probe.cases[0], proportion)
        t, r = probe.call("times", case.config, case.draws)
        equal = case.draws.equal_uniform < np.float32(proportion)
        yield f"data_proportion {proportion}", float(np.sum((t == r) != equal))


@check("loss_and_gradient load_params export_params")
def loss_with_random_rows_matches(probe: Probe) -> Errors:
    """With equal_rows random: every quantity on the way to the loss, in every row."""
    case = with_random_rows(probe.cases[0])
    return loss_errors(probe.step(case)[0], case.step[0])
