"""Total derivative du/dt, against three independent derivatives."""

import itertools
from typing import Any

import numpy as np

import reference
from impls.common.dtypes import as_dtype
from reference.derivative import central_difference, complex_step_jvp
from verify.cases import Array, Case, with_method
from verify.compare import row_error
from verify.probe import Probe
from verify.registry import Errors, NotApplicable, check
from verify.variations import ablations

STEP = 1e-3
FORMS = ("sparse", "autodiff")  # of the JVP; where a subject has one form, it is that twice


def _derivative(probe: Probe, case: Case, tangent: Array) -> tuple[Array, Array]:
    x, params = case.inputs, probe.params(case)
    pair: tuple[Array, Array] = probe.call(
        "mean_velocity_jvp", case.config, params, x.z, x.r, x.t, x.labels, tangent
    )
    return pair


def _wide(case: Case, tangent: Array) -> tuple[Any, ...]:
    """Arguments of the reference's JVP in float64."""
    x = case.inputs
    wide: tuple[Any, ...] = as_dtype((case.params, x.z, x.r, x.t, x.labels, tangent), np.float64)
    return wide


@check("mean_velocity_jvp load_params")
def jvp_matches_hand_written_tangents(probe: Probe, case: Case) -> float:
    """du/dt along (tangent, 0, 1) equals the reference, which carries tangents by hand."""
    tangent = case.inputs.tangent
    _, expected = reference.mean_velocity_jvp(case.config, *_wide(case, tangent))
    return row_error(_derivative(probe, case, tangent)[1], expected)


@check("mean_velocity_jvp load_params")
def jvp_matches_complex_step(probe: Probe, case: Case) -> float:
    """du/dt equals Im u(z + i e v, r, t + i e) / e, exact to rounding, with no derivative rule."""
    tangent = case.inputs.tangent
    expected = complex_step_jvp(case.config, *_wide(case, tangent))
    return row_error(_derivative(probe, case, tangent)[1], expected)


@check("mean_velocity_jvp mean_velocity load_params")
def jvp_matches_central_difference(probe: Probe, case: Case) -> float:
    """du/dt equals the central difference of the subject's own u along (tangent, 0, 1)."""
    probe.require(np.float64, "a difference of float32 numbers has no digits left")
    x, params = as_dtype(case.inputs, np.float64), probe.params(case)

    def u(s: float) -> Array:
        z, t = x.z + s * x.tangent, x.t + s
        out: Array = probe.call("mean_velocity", case.config, params, z, t, t - x.r, x.labels)
        return out

    return row_error(_derivative(probe, case, x.tangent)[1], central_difference(u, STEP))


@check("mean_velocity_jvp mean_velocity load_params", like="mean_velocity_matches")
def jvp_returns_the_mean_velocity(probe: Probe, case: Case) -> float:
    """The first output of the JVP is u(z, t, t - r, y) itself."""
    x, params = as_dtype(case.inputs, probe.dtype), probe.params(case)
    u = probe.call("mean_velocity", case.config, params, x.z, x.t, x.t - x.r, x.labels)
    return row_error(_derivative(probe, case, x.tangent)[0], u)


@check("mean_velocity_jvp load_params")
def zero_tangent_leaves_time_derivative(probe: Probe, case: Case) -> float:
    """With tangent 0, du/dt is d_t u + d_h u: the state contributes through the tangent alone."""
    zero = np.zeros_like(case.inputs.tangent)
    expected = complex_step_jvp(case.config, *_wide(case, zero))
    return row_error(_derivative(probe, case, zero)[1], expected)


@check("mean_velocity_jvp load_params")
def jvp_is_affine_in_its_tangent(probe: Probe, case: Case) -> float:
    """du/dt along (2 v, 0, 1) and along (0, 0, 1) add up to twice du/dt along (v, 0, 1)."""
    v = case.inputs.tangent
    at_0, at_v, at_2v = (_derivative(probe, case, k * v)[1].astype(np.float64) for k in (0, 1, 2))
    return row_error(at_2v + at_0, 2 * at_v)


@check("mean_velocity_jvp load_params jvp_forms", like="mean_velocity_and_derivative_match")
def rows_without_a_tangent_are_not_changed(probe: Probe, case: Case) -> Errors:
    """With tangents for the last row alone, or none, u is the same in every row."""
    if "sparse" not in probe.subject.jvp_forms():
        raise NotApplicable("it takes a tangent for every row")
    x = case.inputs
    expected = reference.mean_velocity_jvp(case.config, *_wide(case, x.tangent))
    for form, count in itertools.product(FORMS, (0, 1)):
        rows = slice(len(x.tangent) - count, None)
        config, arrays = with_method(case.config, jvp=form), (x.z, x.r, x.t, x.labels)
        given = (*arrays, x.tangent[rows])
        u, du_dt = probe.call("mean_velocity_jvp", config, probe.params(case), *given)
        yield f"u, {count} tangents, {form}", row_error(u, expected[0])
        if count:
            yield f"du/dt, {form}", row_error(du_dt, expected[1][rows])
        else:
            yield f"rows of du/dt without a tangent, {form}", float(len(du_dt))


@check("mean_velocity_jvp load_params ablations")
def other_tangents_match(probe: Probe) -> Errors:
    """du/dt along (v, 0, 0), (v, 1, 0) and (v, 1, 1) equals Im u(z + i e v, …) / e."""
    for case in ablations(probe, "method.tangent"):
        x = case.inputs
        expected = complex_step_jvp(case.config, *_wide(case, x.tangent))
        for form in FORMS:
            config, params = with_method(case.config, jvp=form), probe.params(case)
            arrays = (x.z, x.r, x.t, x.labels, x.tangent)
            _, du_dt = probe.call("mean_velocity_jvp", config, params, *arrays)
            yield f"{case.name} {form}", row_error(du_dt, expected)
