"""Sparse JVP (only rows with r < t) against the other forms of the same objective."""

from dataclasses import replace

import numpy as np

from verify.cases import Case, with_method
from verify.compare import loss_errors, tensor_errors
from verify.probe import Probe
from verify.registry import Errors, NotApplicable, check

NUM_CASES = 2  # of each kind of guidance; a framework compiles each one


STEP = "loss_and_gradient load_params export_params jvp_forms"
FORMS = "both forms round differently; the others hold each to the reference"


@check(STEP, like="gradient_matches_hand_written")
def other_form_of_the_jvp_gives_the_same(probe: Probe) -> Errors:
    """method.jvp sparse, dense (the official form) and autodiff: every quantity and gradient."""
    probe.require(np.float64, FORMS)
    forms = probe.subject.jvp_forms()
    if len(forms) < 2:
        raise NotApplicable("it has one form")
    seen = []
    for case in probe.cases:
        method = case.config.method
        kind = (method.guidance_eq, method.kappa > 0)
        seen.append(kind)
        if seen.count(kind) > NUM_CASES:
            continue
        for form in forms:
            if form != method.jvp:
                yield from _differences(probe, case, form)


def _differences(probe: Probe, case: Case, form: str) -> Errors:
    """How far the loss, what it is made of and its gradient are from those of the case's form."""
    (loss, gradient), where = probe.step(case), f"{case.name} {form}"
    other = replace(case, config=with_method(case.config, jvp=form))
    other_loss, other_gradient = probe.step(other)
    yield from loss_errors(loss, other_loss, where)
    yield from tensor_errors(gradient, other_gradient, where)
