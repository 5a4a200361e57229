"""The objective, stage by stage: each stage gets the reference's float32-rounded inputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import reference
from verify.cases import Array, Case, as_dtype
from verify.compare import Error, mismatches, row_error, used_derivative, worst
from verify.probe import Probe
from verify.registry import check

NEAR_THE_WINDOW = (0.1, 0.349, 0.351, 0.599, 0.601, 0.9)  # the window is 0.35 .. 0.6


def _with(probe: Probe, **settings: Any) -> Iterable[Case]:
    """Cases whose method has these settings."""
    found = [
        case
        for case in probe.cases
        if all(getattr(case.config.method, key) == value for key, value in settings.items())
    ]
    if not found:
        raise ValueError(f"no case has {settings}")
    return found


def _fields_error(probe: Probe, *fields: str) -> Error:
    """Worst row of fields of the subject's loss, over all cases, against the reference."""
    errors = {}
    for case in probe.cases:
        actual, expected = probe.step(case)[0], case.step[0]
        for field in fields:
            errors[f"{case.name} {field}"] = row_error(
                getattr(actual, field), getattr(expected, field)
            )
    return worst(errors)


# ---------------------------------------------------------------------------------- times


def _times_error(probe: Probe, noise_dist: str) -> float:
    errors = {}
    for case in _with(probe, noise_dist=noise_dist):
        actual = probe.call("times", case.config, case.draws)
        expected = reference.times(case.config, as_dtype(case.draws, np.float64))
        for name, a, e in zip("tr", actual, expected, strict=True):
            errors[f"{case.name} {name}"] = row_error(a, e)
    return worst(errors)


@check("objective", "times")
def logit_normal_times_match(probe: Probe) -> float:
    """t = max, r = min of sigmoid(P_std raw + P_mean), then r := t in the first rows."""
    return _times_error(probe, "logit_normal")


@check("objective", "times")
def uniform_times_match(probe: Probe) -> float:
    """t = max, r = min of the raw uniforms, then r := t in the first rows."""
    return _times_error(probe, "uniform")


@check("objective", "times", exact=True)
def first_rows_have_equal_times(probe: Probe) -> float:
    """r = t in exactly the first int(batch * data_proportion) rows, odd batches included."""
    errors = {}
    for case in probe.cases:
        t, r = probe.call("times", case.config, case.draws)
        count = int(len(t) * case.config.method.data_proportion)
        errors[case.name] = float(np.sum((t == r) != (np.arange(len(t)) < count)))
    return worst(errors)


# -------------------------------------------------------------------------- interpolation


@check("objective", "interpolate")
def interpolation_matches(probe: Probe) -> float:
    """z = (1 - t) x + t e and v = e - x."""
    errors = {}
    for case in probe.cases:
        arguments = (case.batch.images, case.draws.noise, case.stages.t)
        actual = probe.call("interpolate", *arguments)
        expected = reference.interpolate(*as_dtype(arguments, np.float64))
        for name, a, e in zip("zv", actual, expected, strict=True):
            errors[f"{case.name} {name}"] = row_error(a, e)
    return worst(errors)


# ------------------------------------------------------------------------------- guidance


def _guidance_error(probe: Probe, cases: Iterable[Case]) -> float:
    errors = {}
    for case in cases:
        arrays = (case.stages.z, case.stages.t, case.stages.v, case.batch.labels)
        actual = probe.call("guided_velocity", case.config, probe.params(case), *arrays)
        wide = as_dtype((case.params, *arrays), np.float64)
        errors[case.name] = row_error(actual, reference.guided_velocity(case.config, *wide))
    return worst(errors)


@check("objective", "guided_velocity load_params")
def guidance_with_kappa_matches(probe: Probe) -> float:
    """kappa > 0: v_g = omega v + (1 - omega - kappa) v_u + kappa v_c, with h = 0."""
    cases = _with(probe, guidance_eq="cfg")
    return _guidance_error(probe, [case for case in cases if case.config.method.kappa > 0])


@check("objective", "guided_velocity load_params")
def guidance_without_kappa_matches(probe: Probe) -> float:
    """kappa = 0: v_g = v_u + omega (v - v_u), with no conditional call."""
    return _guidance_error(probe, _with(probe, guidance_eq="cfg", kappa=0.0))


@check("objective", "guided_velocity load_params", exact=True)
def guidance_is_off_outside_its_window(probe: Probe) -> float:
    """Outside t_start <= t <= t_end v_g is v, on either side, and inside it is not."""
    wrong = {}
    for case in _with(probe, t_start=0.35):
        method, stages = case.config.method, case.stages
        times = np.resize(np.array(NEAR_THE_WINDOW, np.float32), len(stages.t))
        arrays = (stages.z, times, stages.v, case.batch.labels)
        v_g = probe.call("guided_velocity", case.config, probe.params(case), *arrays)
        distance = np.abs(v_g - stages.v.astype(probe.dtype)).max((1, 2, 3))
        inside = (times >= method.t_start) & (times <= method.t_end)
        scale = np.abs(stages.v).max((1, 2, 3))
        wrong[case.name] = float(np.sum((distance > 1e-3 * scale) != inside))
    return worst(wrong)


@check("objective", "guided_velocity load_params", exact=True)
def no_guidance_is_the_velocity(probe: Probe) -> float:
    """guidance_eq "none": v_g is v, bit for bit."""
    errors = {}
    for case in _with(probe, guidance_eq="none"):
        v = case.stages.v
        arrays = (case.stages.z, case.stages.t, v, case.batch.labels)
        v_g = probe.call("guided_velocity", case.config, probe.params(case), *arrays)
        errors[case.name] = mismatches(v_g, v.astype(probe.dtype))
    return worst(errors)


# ---------------------------------------------------------------------------- label dropout


def _dropped(probe: Probe, case: Case) -> tuple[Array, Array, Any]:
    stages = case.stages
    v, v_g = stages.v, stages.v + stages.z  # any field that differs from v will do
    actual = probe.call("drop_labels", case.config, case.batch.labels, v, v_g, case.draws)
    wide = as_dtype((case.batch.labels, v, v_g, case.draws), np.float64)
    return (*actual, reference.drop_labels(case.config, *wide))


@check("objective", "drop_labels", exact=True)
def dropout_takes_the_first_rows(probe: Probe) -> float:
    """As many of the first labels become null as uniforms fall below class_dropout_prob."""
    errors = {}
    for case in probe.cases:
        _, labels_in, (_, expected) = _dropped(probe, case)
        errors[case.name] = mismatches(labels_in, expected)
    return worst(errors)


@check("objective", "drop_labels", exact=True)
def dropped_rows_lose_their_guidance(probe: Probe) -> float:
    """A row without label gets v_g := v; the other rows keep theirs."""
    errors = {}
    for case in probe.cases:
        v_g, _, (expected, _) = _dropped(probe, case)
        errors[case.name] = mismatches(v_g, expected.astype(probe.dtype))
    return worst(errors)


# ------------------------------------------------------------------------ target and weight


@check("objective", "target")
def target_matches(probe: Probe) -> float:
    """u_tgt = v_g - (t - r) du/dt."""
    errors = {}
    for case in probe.cases:
        stages = case.stages
        arguments = (stages.v_g, stages.du_dt, stages.t, stages.r)
        expected = reference.target(*as_dtype(arguments, np.float64))
        errors[case.name] = row_error(probe.call("target", *arguments), expected)
    return worst(errors)


@check("objective", "target")
def target_clips_the_interval(probe: Probe) -> float:
    """t - r enters the target clipped to 0..1, as in the official code."""
    case = probe.cases[0]
    t = np.linspace(-0.5, 2.0, len(case.stages.t), dtype=np.float32)
    arguments = (case.stages.v_g, case.stages.du_dt, t, np.zeros_like(t))
    expected = reference.target(*as_dtype(arguments, np.float64))
    return row_error(probe.call("target", *arguments), expected)


@check("objective", "squared_error")
def squared_error_is_a_sum(probe: Probe) -> float:
    """s = sum over pixels and channels of (u - u_tgt)^2, one per sample: not a mean."""
    errors = {}
    for case in probe.cases:
        arguments = (case.stages.u, case.stages.target)
        expected = reference.squared_error(*as_dtype(arguments, np.float64))
        errors[case.name] = row_error(probe.call("squared_error", *arguments), expected)
    return worst(errors)


@check("objective", "adaptive_weight")
def adaptive_weight_matches(probe: Probe) -> float:
    """w = 1 / (s + norm_eps)^norm_p, for errors from 1e-4 to 1e4 too."""
    errors = {}
    for case in probe.cases:
        spread = np.logspace(-4, 4, 9, dtype=np.float32)
        for name, error in (("own", case.stages.squared_error), ("spread", spread)):
            expected = reference.adaptive_weight(case.config, error.astype(np.float64))
            actual = probe.call("adaptive_weight", case.config, error)
            errors[f"{case.name} {name}"] = row_error(actual, expected)
    return worst(errors)


# ---------------------------------------------------------------------------- the whole chain


@check("objective", "loss_and_gradient load_params export_params")
def state_and_velocity_match(probe: Probe) -> float:
    """In the whole objective: times t and r, state z, velocity v."""
    return _fields_error(probe, "t", "r", "z", "v")


@check("objective", "loss_and_gradient load_params export_params")
def tangent_matches(probe: Probe) -> float:
    """In the whole objective: the guided velocity after label dropout, and the labels."""
    return _fields_error(probe, "v_g", "labels_in")


@check("objective", "loss_and_gradient load_params export_params")
def mean_velocity_and_derivative_match(probe: Probe) -> float:
    """In the whole objective: u, and du/dt where r < t, which is where it is used."""
    errors: dict[str, float] = {"u": _fields_error(probe, "u")}
    for case in probe.cases:
        found, expected = (used_derivative(loss) for loss in (probe.step(case)[0], case.step[0]))
        errors[f"{case.name} du_dt"] = row_error(found, expected)
    return worst(errors)


@check("objective", "loss_and_gradient load_params export_params")
def whole_target_matches(probe: Probe) -> float:
    """In the whole objective: the regression target."""
    return _fields_error(probe, "target")


@check("objective", "loss_and_gradient load_params export_params")
def per_sample_errors_match(probe: Probe) -> float:
    """In the whole objective: squared error and weight of each sample."""
    return _fields_error(probe, "squared_error", "weight")


@check("objective", "loss_and_gradient load_params export_params")
def velocity_loss_matches(probe: Probe) -> float:
    """The monitor v_loss = sum (u - v)^2 of each sample, against the unguided velocity."""
    return _fields_error(probe, "v_loss")


@check("objective", "loss_and_gradient load_params export_params")
def loss_matches(probe: Probe) -> float:
    """The loss: mean over the batch of w s. Nearly blind on its own when norm_p is 1."""
    return _fields_error(probe, "total")


@check("objective", "loss loss_and_gradient load_params", like="tangent_matches")
def loss_alone_is_the_same(probe: Probe) -> float:
    """loss() and loss_and_gradient() return the same record."""
    errors = {}
    for case in probe.cases:
        alone = probe.call("loss", case.config, probe.params(case), case.batch, case.draws)
        for field, array in probe.step(case)[0]._asdict().items():
            errors[f"{case.name} {field}"] = row_error(getattr(alone, field), array)
    return worst(errors)
