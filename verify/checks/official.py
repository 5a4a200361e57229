"""Golden files of the official code: every array of every golden case.

If the stored arrays are float32, the tolerance is that of float32 in either dtype. It is measured
on the given folder: FACTOR times the distance between the reference in float32 and in float64.
"""

import functools
from typing import Any

import numpy as np

import reference
from impls.common import parameters
from impls.common.config import MethodConfig
from impls.common.dtypes import as_dtype
from impls.common.types import Loss
from verify.cases import Array
from verify.checks.objective.loss import LOSS, STEP, field_error
from verify.compare import at, mismatches, relative_error, row_error
from verify.golden import GoldenCase, GoldenTraining
from verify.probe import Host, Probe, both
from verify.registry import Errors, NotApplicable, check, checks
from verify.tolerances import rounding_tolerance
from verify.trajectory import NEEDS, trained


@functools.cache
def _reference_step(case: GoldenCase, dtype: type) -> tuple[Any, dict[str, Array]]:
    return reference.loss_and_gradient(
        case.config, *as_dtype((case.params, case.batch, case.draws), dtype)
    )


def _allowed(probe: Probe, problem: GoldenCase | GoldenTraining, distance: float) -> float:
    """Tolerance of the narrower of two dtypes: the subject's and that of the stored numbers."""
    wide = probe.dtype == np.float64 == problem.dtype
    return rounding_tolerance(np.float64 if wide else np.float32, distance)


def _distance(case: GoldenCase, field: str) -> float:
    """Distance of a field of the reference's float32 loss from its float64 one."""
    narrow, wide = (_reference_step(case, dtype)[0] for dtype in (np.float32, np.float64))
    if field == "total":
        return _loss_distance(case.config.method, narrow, wide)
    own = row_error(getattr(narrow, field), getattr(wide, field))
    return max(own, _error_distance(narrow, wide, field)) if field == "v_loss" else own


def _error_distance(narrow: Loss, wide: Loss, field: str) -> float:
    """Distance of a sum of squares, at least that of u, which enters every square.

    NumPy's pairwise summation may average rounding errors away; other summations may not.
    """
    own = row_error(getattr(narrow, field), getattr(wide, field))
    return max(own, row_error(narrow.u, wide.u))


def _loss_distance(method: MethodConfig, narrow: Loss, wide: Loss) -> float:
    """Distance of the loss, at least that which follows from the squared error s.

    d log(s / (s + c)^p) = (1 - p s / (s + c)) d log s, which is nearly zero for p = 1, s >> c.

    A single number, unlike thousands, may be near its float64 value by chance.
    """
    s = np.asarray(wide.squared_error)
    passed_on = np.abs(1 - method.norm_p * s / (s + method.norm_eps)).max()
    own = row_error(narrow.total, wide.total)
    return max(own, float(passed_on) * _error_distance(narrow, wide, "squared_error"))


FIELDS = {  # check -> its sentence, and fields of the loss with the stored arrays
    "official_times_match":
        ("jvp_t and jvp_r: the times that the official code passes to its JVP.",
         {"t": "jvp_t", "r": "jvp_r"}),
    "official_state_matches": ("jvp_z: the noisy state.", {"z": "jvp_z"}),
    "official_tangent_matches":
        ("jvp_tangent: the guided velocity after label dropout.", {"v_g": "jvp_tangent"}),
    "official_mean_velocity_matches":
        ("jvp_u: the network's output in the official code.", {"u": "jvp_u"}),
}  # fmt: skip
LOSSES = {
    "official_velocity_loss_matches":
        ("v_loss: the official monitor, per sample.", {"v_loss": "v_loss"}),
    "official_loss_matches": ("loss: the official loss value.", {"total": "loss"}),
}  # fmt: skip


@checks(LOSS, FIELDS)
def fields_match(probe: Probe, golden: GoldenCase, stored: dict[str, str]) -> Errors:
    """Errors of fields of the loss (keys) against stored arrays (values)."""
    for field, name in stored.items():
        actual, expected = getattr(probe.loss(golden), field), golden.arrays[name]
        shape = getattr(golden.step[0], field).shape
        error = field_error(actual, expected.reshape(shape), field)
        if isinstance(error, NotApplicable):
            yield name, error
        else:
            yield name, at("", error, _allowed(probe, golden, _distance(golden, field)))


@check("mean_velocity_jvp load_params")
def official_derivative_matches(probe: Probe, golden: GoldenCase) -> Errors:
    """jvp_du_dt: the official Jacobian-vector product, of every row."""
    x = golden.step[0]
    arguments = (golden.config, probe.params(golden), x.z, x.r, x.t, x.labels_in, x.v_g)
    _, found = probe.call("mean_velocity_jvp", *arguments)
    error = row_error(found, golden.arrays["jvp_du_dt"].reshape(x.du_dt.shape))
    yield "jvp_du_dt", at("", error, _allowed(probe, golden, _distance(golden, "du_dt")))


checks(LOSS, LOSSES)(fields_match)


def _stores_gradients(golden: GoldenCase) -> bool:
    return any(name.startswith("grad/") for name in golden.arrays)


@check(STEP)
def official_gradients_match(probe: Probe) -> Errors:
    """grad/<name>: every official gradient tensor that is stored."""
    stored = [golden for golden in probe.golden if _stores_gradients(golden)]
    if not stored:
        raise NotApplicable("the golden folder stores no gradient tensors")
    for golden in stored:
        gradient = probe.step(golden)[1]
        tolerance = _allowed(probe, golden, _gradient_distance(golden))
        for name, array in golden.arrays.items():
            if name.startswith("grad/"):
                canonical = golden.official_names[name.removeprefix("grad/")]
                error = relative_error(gradient[canonical], array)
                yield f"{golden.name} {name}", at("", error, tolerance)


@check(STEP)
def official_gradient_norms_match(probe: Probe, golden: GoldenCase) -> float:
    """grad_norms: the norm of every official gradient tensor, by name."""
    gradient = probe.step(golden)[1]
    names = [golden.official_names[name] for name in golden.arrays["grad_names"].tolist()]
    norms = np.array([np.linalg.norm(gradient[name].astype(np.float64)) for name in names])
    error = row_error(norms, golden.arrays["grad_norms"])
    return at("", error, _allowed(probe, golden, _gradient_distance(golden)))


def _gradient_distance(case: GoldenCase) -> float:
    """Distance of the reference's float32 gradient from its float64 one: the worst tensor's."""
    narrow, wide = (_reference_step(case, dtype)[1] for dtype in (np.float32, np.float64))
    return max(relative_error(narrow[name], wide[name]) for name in wide)


@check("sample load_params")
def official_samples_match(probe: Probe) -> Errors:
    """sample_s1, _s2, _s4: the official sampler from the stored noise."""
    if not any(golden.samplers for golden in probe.golden):
        raise NotApplicable("the golden folder stores no samples")
    for golden in probe.golden:
        for name in golden.samplers:
            noise = golden.arrays["sample_noise"]
            labels = golden.batch.labels[: len(noise)]
            times = tuple(float(s) for s in golden.arrays[f"{name}_times"])
            arguments = (golden.config, golden, noise, labels, Host(times))
            actual, wide = both(probe, "sample", *arguments)
            params, narrow_noise = as_dtype((golden.params, noise), np.float32)
            narrow = reference.sample(golden.config, params, narrow_noise, labels, times)
            tolerance = _allowed(probe, golden, row_error(narrow, wide))
            yield f"{golden.name} {name}", at("", row_error(actual, golden.arrays[name]), tolerance)


@check("load_params export_params", exact=True)
def official_parameters_round_trip(probe: Probe, golden: GoldenCase) -> Errors:
    """params: official names -> canonical -> subject -> official names, bit for bit."""
    exported = probe.subject.export_params(golden.config, probe.params(golden).value)
    back = parameters.to_official(golden.config.network, exported)
    for official, canonical in golden.official_names.items():
        expected = golden.params[canonical].astype(probe.dtype)
        yield official, mismatches(back[official], expected)


# ------------------------------------------------------------------------- training steps


@functools.cache
def _reference_training(training: GoldenTraining, dtype: type) -> dict[str, Any]:
    return _train(Probe(reference, dtype, ()), training)


def _train(probe: Probe, training: GoldenTraining) -> dict[str, Any]:
    """Losses, parameters and moving average after the stored steps, by the subject."""
    config = training.config
    pairs = list(trained(probe, config, training.params, training.steps))
    state, losses = pairs[-1][0], [loss for _, loss in pairs[1:]]
    trees = {"params": state.params, "ema": state.ema_params}
    exported = {kind: probe.subject.export_params(config, tree) for kind, tree in trees.items()}
    return {"losses": np.array([loss.total for loss in losses]), "steps": losses, **exported}


@check(NEEDS)
def official_training_losses_match(probe: Probe, training: GoldenTraining) -> float:
    """train_<k>_steps: the loss of every official training step."""
    pairs = zip(
        *(_reference_training(training, d)["steps"] for d in (np.float32, np.float64)), strict=True
    )
    distance = max(_loss_distance(training.config.method, *pair) for pair in pairs)
    error = row_error(probe.trained(training, _train)["losses"], training.losses)
    return at("", error, _allowed(probe, training, distance))


TRAINED = {
    "official_trained_parameters_match":
        ("train_<k>_steps: every parameter tensor after the official Adam steps.", "params"),
    "official_trained_average_matches":
        ("train_<k>_steps: the moving average of every tensor after the official steps.", "ema"),
}  # fmt: skip


@checks(NEEDS, TRAINED)
def trained_tensors_match(probe: Probe, training: GoldenTraining, kind: str) -> Errors:
    """Error of each tensor after the stored training steps.

    Adam divides by the root of the second moment, which magnifies rounding in entries whose
    gradient is rounding alone. The tolerance follows from the error of the reference in float32,
    for the worst tensor of each kind.
    """
    narrow, wide = (_reference_training(training, d)[kind] for d in (np.float32, np.float64))
    spread = max(relative_error(narrow[name], wide[name]) for name in wide)
    tolerance = _allowed(probe, training, spread)
    trained = probe.trained(training, _train)[kind]
    for name, stored in training.final[kind].items():
        yield name, at("", relative_error(trained[name], stored), tolerance)
