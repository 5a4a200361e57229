"""The total derivative du/dt, against three derivatives that owe each other nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

import reference
from reference.derivative import central_difference, complex_step_jvp
from verify.cases import Array, Case, as_dtype
from verify.compare import row_error, worst
from verify.probe import Probe
from verify.registry import check

STEP = 1e-3


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


@check("jvp", "mean_velocity_jvp load_params")
def jvp_matches_hand_written_tangents(probe: Probe) -> float:
    """du/dt along (tangent, 0, 1) equals the reference, which carries tangents by hand."""
    errors = {}
    for case in probe.cases:
        tangent = case.inputs.tangent
        _, expected = reference.mean_velocity_jvp(case.config, *_wide(case, tangent))
        errors[case.name] = row_error(_derivative(probe, case, tangent)[1], expected)
    return worst(errors)


@check("jvp", "mean_velocity_jvp load_params")
def jvp_matches_complex_step(probe: Probe) -> float:
    """du/dt equals Im u(z + i e v, r, t + i e) / e, exact to rounding, with no derivative rule."""
    errors = {}
    for case in probe.cases:
        tangent = case.inputs.tangent
        expected = complex_step_jvp(case.config, *_wide(case, tangent))
        errors[case.name] = row_error(_derivative(probe, case, tangent)[1], expected)
    return worst(errors)


@check("jvp", "mean_velocity_jvp mean_velocity load_params")
def jvp_matches_central_difference(probe: Probe) -> float:
    """du/dt equals the central difference of the subject's own u along (tangent, 0, 1)."""
    probe.require(np.float64, "a difference of float32 numbers has no digits left")
    errors = {}
    for case in probe.cases:
        x, params = as_dtype(case.inputs, np.float64), probe.params(case)

        def u(s: float, case: Case = case, x: Any = x, params: Any = params) -> Array:
            z, t = x.z + s * x.tangent, x.t + s
            out: Array = probe.call("mean_velocity", case.config, params, z, t, t - x.r, x.labels)
            return out

        expected = central_difference(u, STEP)
        errors[case.name] = row_error(_derivative(probe, case, x.tangent)[1], expected)
    return worst(errors)


@check("jvp", "mean_velocity_jvp mean_velocity load_params", like="mean_velocity_matches")
def jvp_returns_the_mean_velocity(probe: Probe) -> float:
    """The first output of the JVP is u(z, t, t - r, y) itself."""
    errors = {}
    for case in probe.cases:
        x = as_dtype(case.inputs, probe.dtype)
        u = probe.call(
            "mean_velocity", case.config, probe.params(case), x.z, x.t, x.t - x.r, x.labels
        )
        errors[case.name] = row_error(_derivative(probe, case, x.tangent)[0], u)
    return worst(errors)


@check("jvp", "mean_velocity_jvp load_params")
def zero_tangent_leaves_time_derivative(probe: Probe) -> float:
    """With tangent 0 what is left is d_t u + d_h u: the state's share is the tangent's alone."""
    errors = {}
    for case in probe.cases:
        zero = np.zeros_like(case.inputs.tangent)
        expected = complex_step_jvp(case.config, *_wide(case, zero))
        errors[case.name] = row_error(_derivative(probe, case, zero)[1], expected)
    return worst(errors)


@check("jvp", "mean_velocity_jvp load_params")
def jvp_is_affine_in_its_tangent(probe: Probe) -> float:
    """du/dt along (2 v, 0, 1) and along (0, 0, 1) add up to twice du/dt along (v, 0, 1)."""
    errors = {}
    for case in probe.cases:
        v = case.inputs.tangent
        at_0, at_v, at_2v = (
            _derivative(probe, case, k * v)[1].astype(np.float64) for k in (0, 1, 2)
        )
        errors[case.name] = row_error(at_2v + at_0, 2 * at_v)
    return worst(errors)
