"""Parameters: names, layout and initialisation."""

import math
from pathlib import Path

import numpy as np

from impls.common import parameters
from impls.common.config_files import from_sizes
from verify.cases import LATENT, Array, Case
from verify.compare import mismatches
from verify.probe import Probe
from verify.registry import Errors, check

RECORDED = Path(__file__).parent.parent / "fixtures" / "initial_parameters.npz"
SEED = 42
STANDARD_ERRORS = 4.5  # a normal statistic exceeds this once in 150,000


def recorded_initial_parameters() -> dict[str, Array]:
    """Content of the fixture: the first 16 numbers of each tensor of a small network."""
    initial = parameters.initial_parameters(from_sizes(LATENT, {}).network, SEED)
    return {name: array.reshape(-1)[:16] for name, array in initial.items()}


@check("load_params export_params", exact=True)
def parameters_round_trip(probe: Probe, case: Case) -> Errors:
    """Loading canonical parameters and exporting them returns every tensor bit for bit."""
    exported = probe.subject.export_params(case.config, probe.params(case).value)
    if list(exported) != list(case.params):
        yield "other names, or names in another order", np.inf
        return
    for name, array in case.params.items():
        yield name, mismatches(exported[name], array.astype(probe.dtype))


@check("load_params export_params", exact=True)
def official_names_round_trip(probe: Probe, case: Case) -> Errors:
    """canonical -> subject -> official names -> canonical returns every tensor bit for bit."""
    exported = probe.subject.export_params(case.config, probe.params(case).value)
    official = parameters.to_official(case.config.network, exported)
    back = parameters.from_official(case.config.network, official)
    for name, array in case.params.items():
        yield name, mismatches(back[name], array.astype(probe.dtype))


@check("init_params export_params", exact=True)
def initial_parameters_are_recorded_ones(probe: Probe) -> Errors:
    """init_params(config, seed) returns the stored numbers, the same in both frameworks."""
    config = from_sizes(LATENT, {})
    made = probe.subject.export_params(config, probe.subject.init_params(config, SEED))
    with np.load(RECORDED) as stored:
        for name in stored.files:
            yield name, mismatches(made[name].reshape(-1)[:16], stored[name])


@check("init_params export_params", allow=STANDARD_ERRORS)
def initial_parameters_follow_their_laws(probe: Probe) -> Errors:
    """Xavier-uniform, normal(0.02) and zero tensors, as the official code: in standard errors."""
    config = from_sizes({**LATENT, "hidden_size": 96}, {})
    made = probe.subject.export_params(config, probe.subject.init_params(config, SEED))
    for tensor in parameters.tensors(config.network):
        yield tensor.name, _law_error(made[tensor.name].astype(np.float64), tensor.name)


def _law_error(array: Array, name: str) -> float:
    """Distance of mean and variance from the official distribution, in standard errors."""
    if name.endswith("bias") or "adaLN" in name or name.startswith("final_layer"):
        return float(np.abs(array).max()) * np.inf if array.any() else 0.0
    if name.startswith(("t_embedder", "h_embedder", "y_embedder")):
        deviation, kurtosis = 0.02, 3.0
    else:
        fan_in, fan_out = math.prod(array.shape[:-1]), array.shape[-1]
        limit = math.sqrt(6 / (fan_in + fan_out))
        if np.abs(array).max() > limit * (1 + 1e-6):
            return math.inf
        deviation, kurtosis = limit / math.sqrt(3), 9 / 5
    mean = abs(array.mean()) / (deviation / math.sqrt(array.size))
    variance = abs(array.var() / deviation**2 - 1) / math.sqrt((kurtosis - 1) / array.size)
    return float(max(mean, variance))


@check("init_params mean_velocity", exact=True)
def untrained_network_is_zero(probe: Probe, case: Case) -> float:
    """adaLN-Zero: with initial parameters u is exactly 0 everywhere."""
    params = parameters.initial_parameters(case.config.network, SEED)
    x = case.inputs
    loaded = probe.load(case.config, params)
    u = probe.call("mean_velocity", case.config, loaded, x.z, x.t, x.h, x.labels)
    return float(np.abs(u).max())
