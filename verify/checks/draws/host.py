"""Draws made on the host: recorded draws, their distributions, and transfer to the device."""

from pathlib import Path

import numpy as np
from scipy import stats

from impls.common import draws
from impls.common.config_files import from_sizes
from impls.common.draws import Stream
from verify.cases import DIGITS, Array
from verify.compare import mismatches
from verify.probe import Probe
from verify.registry import Errors, check

RECORDED = Path(__file__).parents[2] / "fixtures" / "draws.npz"
KOLMOGOROV = 1.95  # sqrt(n) sup |F_n - F| exceeds this with probability 0.001
SAMPLES = 1 << 16


def recorded_draws() -> dict[str, Array]:
    """Draws of a few (seed, step), as the fixture stores them."""
    made: dict[str, Array] = {}
    for noise_dist in ("logit_normal", "uniform"):
        config = from_sizes(DIGITS, {"noise_dist": noise_dist})
        for seed, step in ((0, 0), (42, 7), (2**31, 123456789)):
            step_draws = draws.training_draws(config, seed, step, 3)
            for field, array in step_draws._asdict().items():
                made[f"{noise_dist}/{seed}/{step}/{field}"] = array
    made["sampling_noise/5"] = draws.sampling_noise(config, 5, [0, 1, 49_999])
    made["sampling_labels/5"] = draws.sampling_labels(config, 5, range(20))
    return made


@check("put get", exact=True)
def draws_are_the_recorded_ones(probe: Probe) -> Errors:
    """Draws of (seed, step, stream) are the stored ones, bit for bit, on this machine too."""
    made = recorded_draws()
    with np.load(RECORDED) as stored:
        expected = {name: stored[name] for name in stored.files}
    if set(expected) != set(made):
        raise ValueError(f"the fixture {RECORDED.name} holds other draws than are checked")
    crossed = probe.subject.get(probe.subject.put(made))
    for name, array in expected.items():
        yield name, mismatches(crossed[name], array)


@check("put get", exact=True)
def arrays_cross_the_border_unchanged(probe: Probe) -> Errors:
    """put then get returns every array bit for bit, with its dtype."""
    values = np.array([0.0, -0.0, 1 / 3, 1e-30, -1e30, np.pi], probe.dtype)
    tree = {"float": values, "int": np.array([[0, -1], [7, 2**31 - 1]], np.int32)}
    crossed = probe.subject.get(probe.subject.put(tree))
    for name, array in tree.items():
        yield name, mismatches(crossed[name], array)


@check("put get", exact=True)
def draws_depend_on_every_index(probe: Probe) -> Errors:
    """Another seed, step, stream or sample index gives other numbers; the same give the same."""
    shape = (1000,)
    base = draws.normal(shape, 3, Stream.NOISE, 5)
    others = {
        "seed": draws.normal(shape, 4, Stream.NOISE, 5),
        "step": draws.normal(shape, 3, Stream.NOISE, 6),
        "stream": draws.normal(shape, 3, Stream.TIME_T, 5),
    }
    for name, other in others.items():
        yield name, float(np.sum(other == base))
    yield "again", mismatches(draws.normal(shape, 3, Stream.NOISE, 5), base)


@check("put get", allow=KOLMOGOROV)
def draws_follow_their_laws(probe: Probe) -> Errors:
    """Normals are normal and uniforms uniform, in [0, 1): Kolmogorov-Smirnov distance x sqrt(n)."""
    normals = draws.normal((SAMPLES,), 11, Stream.NOISE, 0)
    uniforms = draws.uniform((SAMPLES,), 11, Stream.LABEL_DROPOUT, 0)
    if uniforms.min() < 0 or uniforms.max() >= 1:
        yield "a uniform outside [0, 1)", np.inf
    yield "normal", stats.kstest(normals, "norm").statistic * SAMPLES**0.5
    yield "uniform", stats.kstest(uniforms, "uniform").statistic * SAMPLES**0.5
