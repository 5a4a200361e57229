"""Losses of Modular and improved MeanFlow: method.tangent_gradient, tangent_velocity, reduction."""

from dataclasses import replace

from verify.cases import with_method
from verify.checks.objective.loss import STEP
from verify.compare import loss_errors, row_error
from verify.probe import Probe
from verify.registry import Errors, check
from verify.variations import compound


@check(f"{STEP} ablations")
def compound_losses_match(probe: Probe) -> Errors:
    """V = u + clip(t - r, 0, 1) SG_l[du/dt along (w, 0, 1)] against v_g: the loss, part by part."""
    for case in compound(probe):
        for place, error in loss_errors(probe.step(case)[0], case.step[0]):
            yield f"{case.name}, {place}", error


@check(f"{STEP} ablations", like="per_sample_errors_match")
def tangent_gradient_leaves_the_loss(probe: Probe) -> Errors:
    """The squared errors do not depend on the share l of the gradient of du/dt."""
    case = compound(probe)[0]
    without = replace(case, config=with_method(case.config, tangent_gradient=0.0))
    found, expected = (probe.loss(one).squared_error for one in (case, without))
    yield case.name, row_error(found, expected)
