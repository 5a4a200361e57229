"""Draws made on the device: their distributions, and what they depend on."""

import numpy as np

from impls.common import draws
from impls.common.config import Config
from impls.common.types import Draws
from verify.cases import Array, Case, with_method
from verify.probe import Probe
from verify.registry import Errors, check
from verify.trajectory import with_training

ROWS, NUM_STEPS = 512, 16
STANDARD_ERRORS = 5.0  # exceeded with probability 10^-6 by each moment of a correct generator
DISTS = ("logit_normal", "uniform")
# E x^0, x^2, x^4, x^6, x^8 of laws with mean 0 and variance 1; odd powers have mean 0.
EVEN_MOMENTS = {
    "normal": (1.0, 1.0, 3.0, 15.0, 105.0),
    "uniform": (1.0, 1.0, 9 / 5, 27 / 7, 9.0),  # on +- sqrt(3)
}


def _config(case: Case, noise_dist: str, seed: int = 7) -> Config:
    config = with_training(case, batch_size=ROWS, seed=seed, draws="device")
    return with_method(config, noise_dist=noise_dist)


def _drawn(probe: Probe, config: Config, step: int) -> Draws:
    made: Draws = probe.subject.get(probe.subject.device_draws(config, step))
    return made


@check("device_draws get", exact=True)
def device_draws_are_float32_records(probe: Probe) -> Errors:
    """Fields, shapes and float32, in a float64 process too, as the draws made on the host."""
    for noise_dist in DISTS:
        config = _config(probe.cases[0], noise_dist)
        found, expected = _drawn(probe, config, 3), draws.training_draws(config, 0, 0)
        for name, array in expected._asdict().items():
            made = np.asarray(getattr(found, name))
            is_other = made.shape != array.shape or made.dtype != array.dtype
            yield f"{name} is {made.dtype} {made.shape}", float(is_other)


@check("device_draws get", exact=True)
def device_draws_depend_on_every_index(probe: Probe) -> Errors:
    """Another seed, step or field gives other numbers; the same seed and step give the same."""
    case = probe.cases[0]
    config = _config(case, "logit_normal")
    base = _drawn(probe, config, 3)
    others = {
        "another seed": _drawn(probe, _config(case, "logit_normal", seed=8), 3),
        "another step": _drawn(probe, config, 4),
        "a step far away": _drawn(probe, config, 3 + 2**30),
    }
    for what, other in others.items():
        for name, one, two in zip(Draws._fields, base, other, strict=True):
            yield f"{what}: {name}", float(_alike(one, two))
    yield "r as t", float(_alike(base.t_raw, base.r_raw))
    yield "equal as drop", float(_alike(base.drop_uniform, base.equal_uniform))
    yield "noise as t", float(_alike(base.t_raw, base.noise.reshape(-1)[:ROWS]))
    for name, one, two in zip(Draws._fields, base, _drawn(probe, config, 3), strict=True):
        yield f"again: {name}", float(np.sum(one != two))


def _alike(one: Array, two: Array) -> bool:
    """True if more entries are equal than by chance among 2^24 numbers."""
    return bool(np.mean(one == two) > 0.01)


@check("device_draws get", allow=STANDARD_ERRORS)
def device_draws_have_their_laws(probe: Probe) -> Errors:
    """Moments of normals and uniforms, and correlations between draws, in standard errors."""
    for noise_dist in DISTS:
        config = _config(probe.cases[0], noise_dist)
        steps = [_drawn(probe, config, step) for step in range(NUM_STEPS)]
        time = "normal" if noise_dist == "logit_normal" else "uniform"
        laws = Draws(time, time, "normal", "uniform", "uniform")
        found = {}
        for name, law, field in zip(Draws._fields, laws, zip(*steps, strict=True), strict=True):
            values = np.stack(field).astype(np.float64)
            found[name] = values if law == "normal" else _standardised(values)
            for power in (1, 2, 3, 4):
                error = _moment_error(found[name], power, EVEN_MOMENTS[law])
                yield f"{noise_dist} {name} to the power {power}", error
        pixel = found["noise"].reshape(NUM_STEPS, ROWS, -1)
        pairs = {
            "t and r": (found["t_raw"], found["r_raw"]),
            "t and drop": (found["t_raw"], found["drop_uniform"]),
            "drop and equal": (found["drop_uniform"], found["equal_uniform"]),
            "t and its noise": (found["t_raw"], pixel[..., 0]),
            "neighbours of noise": (pixel[..., 0], pixel[..., 1]),
            "rows of noise": (pixel[:, 1:, 0], pixel[:, :-1, 0]),
            "steps of t": (found["t_raw"][1:], found["t_raw"][:-1]),
            "steps of noise": (pixel[1:], pixel[:-1]),
        }
        for name, (one, two) in pairs.items():
            yield f"{noise_dist} {name}", _moment_error(one * two, 1, EVEN_MOMENTS["normal"])


def _standardised(uniforms: Array) -> Array:
    """Uniforms on [0, 1) with mean 0 and variance 1; what lies outside is not a number."""
    inside = (uniforms >= 0) & (uniforms < 1)
    return np.where(inside, (uniforms - 0.5) * 12**0.5, np.nan)


def _moment_error(values: Array, power: int, even: tuple[float, ...]) -> float:
    """Distance of the mean of a power from its expectation, in standard errors of that mean."""
    expected = 0.0 if power % 2 else even[power // 2]
    variance = even[power] - expected**2
    distance = abs(float(np.mean(values**power)) - expected)
    return distance / float(np.sqrt(variance / values.size))
