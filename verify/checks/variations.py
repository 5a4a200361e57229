"""The variations of the paper's Table 1 (b) and (c): wrong tangents, and other embedded times.

They are kept apart from the other checks because a port need not have them: it says which it
understands by `ablations`.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

import reference
from reference.derivative import complex_step_jvp
from verify.cases import Case, as_dtype, perturbed_parameters
from verify.compare import relative_error, row_error, worst
from verify.probe import Probe
from verify.registry import NotApplicable, check

# method.tangent with model.embedding: between them each of both, and a tangent of each time.
PAIRS = (("v00", "t_r_h"), ("v10", "t_r_h"), ("v11", "t_r"), ("v01", "h"))
FORMS = ("sparse", "autodiff")  # of the JVP; where a subject has one form, it is that twice
SEED = 7


@check("network", "mean_velocity load_params ablations")
def embedded_times_match(probe: Probe) -> float:
    """Embeddings of (t, r), (t, r, t - r) and t - r alone, an embedder of its own for each time."""
    _require(probe, "model.embedding")
    errors = {}
    for case in _cases(probe.cases[0]):
        x = case.inputs
        wide = as_dtype((case.params, x.z, x.t, x.h, x.labels), np.float64)
        expected = reference.mean_velocity(case.config, *wide)
        arguments = (probe.params(case), x.z, x.t, x.h, x.labels)
        errors[case.name] = row_error(
            probe.call("mean_velocity", case.config, *arguments), expected
        )
    return worst(errors)


@check("jvp", "mean_velocity_jvp load_params ablations")
def other_tangents_match(probe: Probe) -> float:
    """du/dt along (v, 0, 0), (v, 1, 0) and (v, 1, 1) equals Im u(z + i e v, …) / e."""
    _require(probe, "method.tangent")
    errors = {}
    for case in _cases(probe.cases[0]):
        x = case.inputs
        arrays = (x.z, x.r, x.t, x.labels, x.tangent)
        expected = complex_step_jvp(case.config, *as_dtype((case.params, *arrays), np.float64))
        for form in FORMS:
            method = case.config.method.model_copy(update={"jvp": form})
            config = case.config.model_copy(update={"method": method})
            _, du_dt = probe.call("mean_velocity_jvp", config, probe.params(case), *arrays)
            errors[f"{case.name} {form}"] = row_error(du_dt, expected)
    return worst(errors)


@check("gradient", "loss_and_gradient load_params export_params ablations")
def gradients_of_ablations_match(probe: Probe) -> float:
    """With another tangent or embedding, every gradient tensor equals the reference."""
    _require(probe, "method.tangent", "model.embedding")
    errors = {}
    for case in _cases(probe.cases[0]):
        gradient, expected = probe.step(case)[1], case.step[1]
        for name, array in expected.items():
            errors[f"{case.name} {name}"] = relative_error(gradient[name], array)
    return worst(errors)


def _require(probe: Probe, *keys: str) -> None:
    for key in keys:
        if key not in probe.subject.ablations():
            raise NotApplicable(f"it has no {key}")


@functools.cache
def _cases(case: Case) -> tuple[Case, ...]:
    return tuple(_varied(case, *pair) for pair in PAIRS)


def _varied(case: Case, tangent: str, embedding: str) -> Case:
    """The case with these two, a tangent in every row, and no guidance, which knows neither."""
    config = case.config
    method = {"tangent": tangent, "guidance_eq": "none", "data_proportion": 0.0}
    config = config.model_copy(
        update={
            "method": config.method.model_copy(update=method),
            "model": config.model.model_copy(update={"embedding": embedding}),
        }
    )
    params = perturbed_parameters(config, SEED)
    return replace(case, name=f"{case.name} {tangent} {embedding}", config=config, params=params)
