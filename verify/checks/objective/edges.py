"""Settings and times that random cases never meet exactly."""

import numpy as np

from verify.cases import with_method
from verify.checks.objective.loss import guidance_inputs, is_guided
from verify.compare import mismatches, row_error
from verify.probe import Probe, both
from verify.registry import Errors, check

WINDOW = (0.375, 0.625)  # exact in every precision


@check("guided_velocity load_params", exact=True)
def guidance_acts_at_both_ends_of_its_window(probe: Probe) -> float:
    """The window is t_start <= t <= t_end: at t_start and at t_end v_g is not v."""
    case = probe.cases[0]
    settings = {"guidance_eq": "cfg", "kappa": 0.5, "t_start": WINDOW[0], "t_end": WINDOW[1]}
    config = with_method(case.config, **settings)
    times = np.resize(np.array(WINDOW, np.float32), len(case.stages.t))
    return float(np.sum(~is_guided(probe, case, config, times)))


@check("guided_velocity load_params", like="guidance_with_kappa_matches")
def guidance_without_omega_matches(probe: Probe) -> Errors:
    """omega = 0, kappa > 0: v_g = (1 - kappa) v_u + kappa v_c; omega = kappa = 0: v_g = v_u."""
    case = probe.cases[0]
    for kappa in (0.5, 0.0):
        config = with_method(case.config, guidance_eq="cfg", omega=0.0, kappa=kappa)
        answers = both(probe, "guided_velocity", config, case, *guidance_inputs(case))
        yield f"{case.name} kappa {kappa}", row_error(*answers)


@check("drop_labels", exact=True)
def dropout_counts_uniforms_below_its_probability(probe: Probe) -> Errors:
    """Below, not at: probability 0 drops nothing where a uniform is 0; 1 drops everything."""
    case = probe.cases[0]
    stages, rows = case.stages, len(case.batch.labels)
    null = case.config.network.num_classes
    uniforms = np.resize(np.array([0.0, 0.25, 0.5, 0.75], np.float32), rows)
    step_draws = case.draws._replace(drop_uniform=uniforms)
    for probability in (0.0, 0.25, 0.5, 1.0):
        config = with_method(case.config, class_dropout_prob=probability)
        arrays = (case.batch.labels, stages.v, stages.v + stages.z)
        _, labels_in = probe.call("drop_labels", config, *arrays, step_draws)
        num_drop = int(np.sum(uniforms < np.float32(probability)))
        expected = np.where(np.arange(rows) < num_drop, null, case.batch.labels)
        expected = expected.astype(case.batch.labels.dtype)
        yield f"probability {probability}", mismatches(labels_in, expected)
