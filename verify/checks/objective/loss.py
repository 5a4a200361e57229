"""Objective, stage by stage; each stage gets the reference's inputs, rounded to float32."""

from collections.abc import Callable
from typing import Any

import numpy as np

from impls.common.config import Config
from verify.cases import Array, Case
from verify.compare import mismatches, row_error, used_derivative
from verify.probe import Probe, both
from verify.registry import Errors, NotApplicable, check, checks

NEAR_THE_WINDOW = (0.1, 0.349, 0.351, 0.599, 0.601, 0.9)  # the window is 0.35 .. 0.6
LOSS = "loss|loss_and_gradient load_params"
STEP = "loss_and_gradient load_params export_params"


def _has(**settings: Any) -> Callable[[Case], bool]:
    """Selector of cases whose method has these settings."""

    def chosen(case: Case) -> bool:
        method = case.config.method
        return all(getattr(method, key) == value for key, value in settings.items())

    return chosen


def field_error(found: Any, expected: Array, name: str) -> float | NotApplicable:
    """Error of the worst row of a field of Loss; not applicable to a field that is None."""
    if found is None:
        return NotApplicable(f"the subject's Loss has no {name}")
    return row_error(found, expected)


# ---------------------------------------------------------------------------------- times


def _times(probe: Probe, case: Case) -> Errors:
    for name, a, e in zip("tr", *both(probe, "times", case.config, case.draws), strict=True):
        yield name, row_error(a, e)


@check("times", only=_has(noise_dist="logit_normal"))
def logit_normal_times_match(probe: Probe, case: Case) -> Errors:
    """t = max, r = min of sigmoid(P_std raw + P_mean), then r := t in the first rows."""
    return _times(probe, case)


@check("times", only=_has(noise_dist="uniform"))
def uniform_times_match(probe: Probe, case: Case) -> Errors:
    """t = max, r = min of the raw uniforms, then r := t in the first rows."""
    return _times(probe, case)


@check("times", exact=True)
def first_rows_have_equal_times(probe: Probe, case: Case) -> float:
    """r = t in exactly the first int(batch * data_proportion) rows, odd batches included."""
    t, r = probe.call("times", case.config, case.draws)
    count = int(len(t) * case.config.method.data_proportion)
    return float(np.sum((t == r) != (np.arange(len(t)) < count)))


# -------------------------------------------------------------------------- interpolation


@check("interpolate")
def interpolation_matches(probe: Probe, case: Case) -> Errors:
    """z = (1 - t) x + t e and v = e - x."""
    arguments = (case.batch.images, case.draws.noise, case.stages.t)
    for name, a, e in zip("zv", *both(probe, "interpolate", *arguments), strict=True):
        yield name, row_error(a, e)


# ------------------------------------------------------------------------------- guidance


def guidance_inputs(case: Case, times: Array | None = None) -> tuple[Array, ...]:
    """z, t (or these times), v and labels."""
    x = case.stages
    return x.z, x.t if times is None else times, x.v, case.batch.labels


def is_guided(probe: Probe, case: Case, config: Config, times: Array) -> Array:
    """Mask of rows where v_g differs from v at this time; a NaN counts as equal."""
    arrays = guidance_inputs(case, times)
    v_g = probe.call("guided_velocity", config, probe.params(case), *arrays)
    distance = np.abs(v_g - case.stages.v.astype(probe.dtype)).max((1, 2, 3))
    differs: Array = distance > 1e-3 * np.abs(case.stages.v).max((1, 2, 3))
    return differs


def _guidance_error(probe: Probe, case: Case) -> float:
    arguments = (case.config, case, *guidance_inputs(case))
    return row_error(*both(probe, "guided_velocity", *arguments))


def _has_kappa(case: Case) -> bool:
    return _has(guidance_eq="cfg")(case) and case.config.method.kappa > 0


@check("guided_velocity load_params", only=_has_kappa)
def guidance_with_kappa_matches(probe: Probe, case: Case) -> float:
    """kappa > 0: v_g = omega v + (1 - omega - kappa) v_u + kappa v_c, with h = 0."""
    return _guidance_error(probe, case)


@check("guided_velocity load_params", only=_has(guidance_eq="cfg", kappa=0.0))
def guidance_without_kappa_matches(probe: Probe, case: Case) -> float:
    """kappa = 0: v_g = v_u + omega (v - v_u), with no conditional call."""
    return _guidance_error(probe, case)


@check("guided_velocity load_params", exact=True, only=_has(t_start=0.35))
def guidance_is_off_outside_its_window(probe: Probe, case: Case) -> float:
    """Outside t_start <= t <= t_end v_g is v, on either side, and inside it is not."""
    method = case.config.method
    times = np.resize(np.array(NEAR_THE_WINDOW, np.float32), len(case.stages.t))
    inside = (times >= method.t_start) & (times <= method.t_end)
    return float(np.sum(is_guided(probe, case, case.config, times) != inside))


@check("guided_velocity load_params", exact=True, only=_has(guidance_eq="none"))
def no_guidance_is_the_velocity(probe: Probe, case: Case) -> float:
    """guidance_eq "none": v_g is v, bit for bit."""
    arrays = guidance_inputs(case)
    v_g = probe.call("guided_velocity", case.config, probe.params(case), *arrays)
    return mismatches(v_g, case.stages.v.astype(probe.dtype))


# ---------------------------------------------------------------------------- label dropout


def _dropped(probe: Probe, case: Case) -> tuple[Any, Any]:
    """v_g and labels of the subject, and of the reference."""
    v, v_g = case.stages.v, case.stages.v + case.stages.z  # any field that differs from v will do
    return both(probe, "drop_labels", case.config, case.batch.labels, v, v_g, case.draws)


@check("drop_labels", exact=True)
def dropout_takes_the_first_rows(probe: Probe, case: Case) -> float:
    """As many of the first labels become null as uniforms fall below class_dropout_prob."""
    (_, labels_in), (_, expected) = _dropped(probe, case)
    return mismatches(labels_in, expected)


@check("drop_labels", exact=True)
def dropped_rows_lose_their_guidance(probe: Probe, case: Case) -> float:
    """A row without label gets v_g := v; the other rows keep theirs."""
    (v_g, _), (expected, _) = _dropped(probe, case)
    return mismatches(v_g, expected.astype(probe.dtype))


# ------------------------------------------------------------------------ target and weight


@check("target")
def target_matches(probe: Probe, case: Case) -> float:
    """u_tgt = v_g - (t - r) du/dt."""
    x = case.stages
    return row_error(*both(probe, "target", x.v_g, x.du_dt, x.t, x.r))


@check("target")
def target_clips_the_interval(probe: Probe) -> float:
    """t - r enters the target clipped to 0..1, as in the official code."""
    case = probe.cases[0]
    t = np.linspace(-0.5, 2.0, len(case.stages.t), dtype=np.float32)
    arguments = (case.stages.v_g, case.stages.du_dt, t, np.zeros_like(t))
    return row_error(*both(probe, "target", *arguments))


@check("squared_error")
def squared_error_is_a_sum(probe: Probe, case: Case) -> float:
    """s = sum over pixels and channels of (u - u_tgt)^2, one per sample: not a mean."""
    return row_error(*both(probe, "squared_error", case.stages.u, case.stages.target))


@check("adaptive_weight")
def adaptive_weight_matches(probe: Probe, case: Case) -> Errors:
    """w = 1 / (s + norm_eps)^norm_p, for errors from 1e-4 to 1e4 too."""
    spread = np.logspace(-4, 4, 9, dtype=np.float32)
    for name, error in (("own", case.stages.squared_error), ("spread", spread)):
        yield name, row_error(*both(probe, "adaptive_weight", case.config, error))


# ---------------------------------------------------------------------------- the whole chain


FIELDS = {
    "state_and_velocity_match":
        ("In the whole objective: times t and r, state z, velocity v.", "t", "r", "z", "v"),
    "tangent_matches":
        ("In the whole objective: the guided velocity after label dropout, and the labels.",
         "v_g", "labels_in"),
    "mean_velocity_and_derivative_match":
        ("In the whole objective: u, and du/dt where r < t, which is where it is used.",
         "u", "du_dt"),
    "whole_target_matches": ("In the whole objective: the regression target.", "target"),
    "per_sample_errors_match":
        ("In the whole objective: squared error and weight of each sample.",
         "squared_error", "weight"),
    "velocity_loss_matches":
        ("The monitor v_loss = sum (u - v)^2 of each sample, against the unguided velocity.",
         "v_loss"),
    "loss_matches":
        ("The loss: mean over the batch of w s. Nearly blind on its own when norm_p is 1.",
         "total"),
}  # fmt: skip


@checks(LOSS, FIELDS)
def fields_match(probe: Probe, case: Case, *names: str) -> Errors:
    """Worst row of each field of the subject's Loss against the reference's."""
    found, expected = probe.loss(case), case.step[0]
    for name in names:
        if name != "du_dt":
            yield name, field_error(getattr(found, name), getattr(expected, name), name)
        elif any(getattr(found, needed) is None for needed in ("du_dt", "t", "r")):
            yield name, NotApplicable("the subject's Loss has no du_dt, t or r")
        else:
            yield name, row_error(used_derivative(found), used_derivative(expected))


@check("loss loss_and_gradient load_params", like="tangent_matches")
def loss_alone_is_the_same(probe: Probe, case: Case) -> Errors:
    """loss() and loss_and_gradient() return the same record."""
    alone = probe.call("loss", case.config, probe.params(case), case.batch, case.draws)
    for name, array in probe.step(case)[0]._asdict().items():
        if array is not None:
            yield name, field_error(getattr(alone, name), array, name)
