"""Sampling: one step, several steps, any time grid."""

from __future__ import annotations

import numpy as np

from verify.cases import Case
from verify.compare import row_error
from verify.probe import Host, Probe, both
from verify.registry import check

UNEVEN = (1.0, 0.8125, 0.3, 0.25, 0.0)


def _sampling_error(probe: Probe, case: Case, times: tuple[float, ...]) -> float:
    x = case.inputs
    return row_error(*both(probe, "sample", case.config, case, x.z, x.labels, Host(times)))


@check("sample load_params")
def one_step_matches(probe: Probe, case: Case) -> float:
    """x = z_1 - u(z_1, 1, 1, y)."""
    return _sampling_error(probe, case, (1.0, 0.0))


@check("sample load_params")
def two_steps_match(probe: Probe, case: Case) -> float:
    """Two steps on even times."""
    return _sampling_error(probe, case, (1.0, 0.5, 0.0))


@check("sample load_params")
def uneven_steps_match(probe: Probe, case: Case) -> float:
    """z <- z - (s_i - s_{i+1}) u(z, s_i, s_i - s_{i+1}, y) on uneven times."""
    return _sampling_error(probe, case, UNEVEN)


@check("sample mean_velocity load_params", like="one_step_matches")
def one_step_is_noise_minus_mean_velocity(probe: Probe, case: Case) -> float:
    """One step agrees with the subject's own u at t = 1, h = 1."""
    noise, labels = case.inputs.z, case.inputs.labels
    ones = np.ones(len(noise), np.float32)
    params = probe.params(case)
    u = probe.call("mean_velocity", case.config, params, noise, ones, ones, labels)
    actual = probe.call("sample", case.config, params, noise, labels, Host((1.0, 0.0)))
    return row_error(actual, noise.astype(np.float64) - u)
