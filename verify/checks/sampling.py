"""Sampling: one step, several steps, any time grid."""

import numpy as np

from verify.cases import Case
from verify.compare import row_error
from verify.probe import Host, Probe, both
from verify.registry import check, checks

TIMES = {
    "one_step_matches": ("x = z_1 - u(z_1, 1, 1, y).", (1.0, 0.0)),
    "two_steps_match": ("Two steps on even times.", (1.0, 0.5, 0.0)),
    "uneven_steps_match":
        ("z <- z - (s_i - s_{i+1}) u(z, s_i, s_i - s_{i+1}, y) on uneven times.",
         (1.0, 0.8125, 0.3, 0.25, 0.0)),
}  # fmt: skip


@checks("sample load_params", TIMES)
def samples_match(probe: Probe, case: Case, times: tuple[float, ...]) -> float:
    """From the same noise, with these times."""
    x = case.inputs
    return row_error(*both(probe, "sample", case.config, case, x.z, x.labels, Host(times)))


@check("sample mean_velocity load_params", like="one_step_matches")
def one_step_is_noise_minus_mean_velocity(probe: Probe, case: Case) -> float:
    """One step agrees with the subject's own u at t = 1, h = 1."""
    noise, labels = case.inputs.z, case.inputs.labels
    ones = np.ones(len(noise), np.float32)
    params = probe.params(case)
    u = probe.call("mean_velocity", case.config, params, noise, ones, ones, labels)
    actual = probe.call("sample", case.config, params, noise, labels, Host((1.0, 0.0)))
    return row_error(actual, noise.astype(np.float64) - u)
