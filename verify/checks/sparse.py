"""The objective without what cancels, against the same with it."""

from __future__ import annotations

import numpy as np

import reference
from verify.cases import Case, as_dtype
from verify.compare import mismatches, relative_error, row_error, used_derivative
from verify.probe import Probe
from verify.registry import Errors, NotApplicable, check

NUM_CASES = 2  # of each kind of guidance; a framework compiles each anew


@check(
    "objective",
    "loss_and_gradient load_params export_params jvp_forms",
    like="gradient_matches_hand_written",
)
def other_form_of_the_jvp_gives_the_same(probe: Probe) -> Errors:
    """method.jvp sparse, dense (the official form) and autodiff: every quantity and gradient."""
    probe.require(np.float64, "both forms round differently; the others hold each to the reference")
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


@check(
    "jvp",
    "mean_velocity_jvp load_params jvp_forms",
    like="mean_velocity_and_derivative_match",
)
def rows_without_a_tangent_are_not_changed(probe: Probe, case: Case) -> Errors:
    """With tangents for the last row alone, or none, u is the same in every row."""
    if "sparse" not in probe.subject.jvp_forms():
        raise NotApplicable("it takes a tangent for every row")
    x, wide = case.inputs, as_dtype((case.params, case.inputs), np.float64)
    given = wide[0], *(getattr(wide[1], name) for name in ("z", "r", "t", "labels", "tangent"))
    expected = reference.mean_velocity_jvp(case.config, *given)
    for count in (0, 1):
        rows = slice(len(x.tangent) - count, None)
        arrays = (x.z, x.r, x.t, x.labels, x.tangent[rows])
        u, du_dt = probe.call("mean_velocity_jvp", case.config, probe.params(case), *arrays)
        yield f"u, {count} moving", row_error(u, expected[0])
        if count:
            yield "du/dt", row_error(du_dt, expected[1][rows])
        else:
            yield "rows of du/dt that nothing moves", float(len(du_dt))


def _differences(probe: Probe, case: Case, form: str) -> Errors:
    """How far the loss, what it is made of and its gradient are from those of the case's form."""
    method = case.config.method.model_copy(update={"jvp": form})
    config = case.config.model_copy(update={"method": method})
    inputs = probe.subject.put(as_dtype((case.batch, case.draws), probe.dtype))
    loss, gradient = probe.subject.loss_and_gradient(config, probe.params(case).value, *inputs)
    ours, theirs = (
        x._replace(du_dt=used_derivative(x)) for x in (probe.step(case)[0], probe.subject.get(loss))
    )
    for field, array in theirs._asdict().items():
        compare = mismatches if field == "labels_in" else row_error
        yield f"{case.name} {form} {field}", compare(getattr(ours, field), array)
    for name, array in probe.subject.export_params(config, gradient).items():
        yield f"{case.name} {form} {name}", relative_error(probe.step(case)[1][name], array)
