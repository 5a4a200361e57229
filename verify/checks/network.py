"""The network: each module against the reference, then the whole."""

from __future__ import annotations

import numpy as np

import reference
from verify.cases import Case, as_dtype
from verify.compare import row_error, worst
from verify.probe import Probe
from verify.registry import check


def _module_error(probe: Probe, *endings: str) -> float:
    """Worst row of the outputs of modules whose canonical name is, or ends in, one of these."""
    errors = {}
    for case in probe.cases:
        inputs = case.inputs
        arguments = (inputs.z, inputs.t, inputs.h, inputs.labels)
        actual = probe.activations(case, *arguments)
        for name, array in case.activations.items():
            last = name.split("/")[-1]
            if last in endings or (last.startswith("blocks_") and "blocks" in endings):
                errors[f"{case.name} {name}"] = row_error(actual[name], array)
    return worst(errors)


@check("network", "activations load_params")
def patch_and_position_embedding_match(probe: Probe) -> float:
    """Linear patch embedding plus the 2-D sine-cosine position embedding, column before row."""
    return _module_error(probe, "x_embedder")


@check("network", "activations load_params")
def time_embedding_matches(probe: Probe) -> float:
    """T(t): [cos, sin] of the raw time in 0..1, Linear, SiLU, Linear."""
    return _module_error(probe, "t_embedder")


@check("network", "activations load_params")
def interval_embedding_matches(probe: Probe) -> float:
    """H(h): an embedder of its own for h = t - r."""
    return _module_error(probe, "h_embedder")


@check("network", "activations load_params")
def label_embedding_matches(probe: Probe) -> float:
    """Y(y): a table whose last row is the null label."""
    return _module_error(probe, "y_embedder")


@check("network", "activations load_params")
def modulation_matches(probe: Probe) -> float:
    """adaLN: six chunks of Linear(SiLU(T + H + Y))."""
    return _module_error(probe, "adaLN")


@check("network", "activations load_params")
def attention_matches(probe: Probe) -> float:
    """softmax(q k^T / sqrt(head_dim)) v, between the qkv and output projections."""
    return _module_error(probe, "attn")


@check("network", "activations load_params")
def mlp_matches(probe: Probe) -> float:
    """Linear, tanh-GELU, Linear."""
    return _module_error(probe, "mlp")


@check("network", "activations load_params")
def blocks_match(probe: Probe) -> float:
    """Each block: modulated LayerNorm, attention, gate; modulated LayerNorm, MLP, gate."""
    return _module_error(probe, "blocks")


@check("network", "activations load_params")
def final_layer_matches(probe: Probe) -> float:
    """Modulated LayerNorm and the linear layer to pixels."""
    return _module_error(probe, "final_layer")


@check("network", "mean_velocity load_params")
def mean_velocity_matches(probe: Probe) -> float:
    """u(z, t, h, y) of the whole network against the reference, sample by sample."""
    return worst({case.name: _velocity_error(probe, case) for case in probe.cases})


def _velocity_error(probe: Probe, case: Case) -> float:
    inputs = case.inputs
    arguments = (inputs.z, inputs.t, inputs.h, inputs.labels)
    expected = reference.mean_velocity(
        case.config, *as_dtype((case.params, *arguments), np.float64)
    )
    actual = probe.call("mean_velocity", case.config, probe.params(case), *arguments)
    return row_error(actual, expected)


@check("network", "mean_velocity load_params", like="mean_velocity_matches")
def rows_are_independent(probe: Probe) -> float:
    """Without its first row, and in another order, a batch gives the same u for the rest."""
    several = [case for case in probe.cases if len(case.inputs.t) > 1]
    return worst({case.name: _rest_error(probe, case) for case in several})


def _rest_error(probe: Probe, case: Case) -> float:
    x, params = case.inputs, probe.params(case)
    arguments = (x.z, x.t, x.h, x.labels)
    u = probe.call("mean_velocity", case.config, params, *arguments)
    rest = [array[:0:-1].copy() for array in arguments]
    rest_u = probe.call("mean_velocity", case.config, params, *rest)
    return row_error(rest_u, u[:0:-1])


@check("network", "mean_velocity mean_velocity_jvp load_params", exact=True)
def dtype_is_kept(probe: Probe) -> float:
    """Inputs and parameters of one dtype give outputs of that dtype, u and du/dt."""
    errors = {}
    for case in probe.cases:
        x, params = case.inputs, probe.params(case)
        u = probe.call("mean_velocity", case.config, params, x.z, x.t, x.h, x.labels)
        pair = probe.call(
            "mean_velocity_jvp", case.config, params, x.z, x.r, x.t, x.labels, x.tangent
        )
        for name, array in zip(("u", "jvp u", "du/dt"), (u, *pair), strict=True):
            errors[f"{case.name} {name} is {array.dtype}"] = float(array.dtype != probe.dtype)
    return worst(errors)
