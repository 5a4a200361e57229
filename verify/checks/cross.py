"""Two implementations against each other, directly: no arbiter in between."""

from __future__ import annotations

from verify.compare import relative_error, row_error, worst
from verify.probe import Host, Probe
from verify.registry import check

STEP = "loss_and_gradient load_params export_params"


def _fields_error(one: Probe, other: Probe, *fields: str) -> float:
    errors = {}
    for case in one.cases:
        ours, theirs = one.step(case)[0], other.step(case)[0]
        for field in fields:
            errors[f"{case.name} {field}"] = row_error(getattr(ours, field), getattr(theirs, field))
    return worst(errors)


@check("cross", "mean_velocity load_params")
def same_mean_velocity(one: Probe, other: Probe) -> float:
    """u of the same inputs."""
    errors = {}
    for case in one.cases:
        x = case.inputs
        ours, theirs = (
            p.call("mean_velocity", case.config, p.params(case), x.z, x.t, x.h, x.labels)
            for p in (one, other)
        )
        errors[case.name] = row_error(ours, theirs)
    return worst(errors)


@check("cross", STEP)
def same_derivative(one: Probe, other: Probe) -> float:
    """du/dt in the whole objective."""
    return _fields_error(one, other, "du_dt")


@check("cross", STEP)
def same_target(one: Probe, other: Probe) -> float:
    """v_g and the regression target."""
    return _fields_error(one, other, "v_g", "target")


@check("cross", STEP)
def same_per_sample_errors(one: Probe, other: Probe) -> float:
    """Squared error, weight and v_loss of each sample."""
    return _fields_error(one, other, "squared_error", "weight", "v_loss")


@check("cross", STEP)
def same_loss(one: Probe, other: Probe) -> float:
    """The loss value."""
    return _fields_error(one, other, "total")


@check("cross", STEP)
def same_gradient(one: Probe, other: Probe) -> float:
    """Every gradient tensor by name."""
    errors = {}
    for case in one.cases:
        ours, theirs = one.step(case)[1], other.step(case)[1]
        for name in theirs:
            errors[f"{case.name} {name}"] = relative_error(ours[name], theirs[name])
    return worst(errors)


@check("cross", "sample load_params")
def same_samples(one: Probe, other: Probe) -> float:
    """Four steps from the same noise."""
    errors = {}
    for case in one.cases:
        noise, labels = case.inputs.z, case.inputs.labels
        ours, theirs = (
            p.call(
                "sample", case.config, p.params(case), noise, labels,
                Host((1.0, 0.75, 0.5, 0.25, 0.0)),
            )
            for p in (one, other)
        )  # fmt: skip
        errors[case.name] = row_error(ours, theirs)
    return worst(errors)
