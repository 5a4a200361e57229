"""Rounding error by number of blocks, of u, du/dt and the gradient, in each precision."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

import reference
from bench.measurement import Measured, Run
from impls.common.config_files import from_sizes
from impls.common.draws import training_draws
from impls.common.dtypes import as_dtype
from impls.common.types import Batch
from impls.data import digits
from results.schema import Settings
from verify.cases import DIGITS, Case, perturbed_parameters
from verify.compare import relative_error, row_error
from verify.probe import Probe

DEPTHS = (1, 2, 4, 8, 16, 28)  # up to that of DiT-XL
ROWS, SEED = 8, 0
QUANTITIES = ("u", "du/dt", "gradient")


# dtype of the inputs, and training.precision of matrix products
PRECISIONS: dict[str, tuple[Any, str]] = {
    "float64": (np.float64, "float32"),  # which never lowers the inputs
    "float32": (np.float32, "float32"),
    "bfloat16": (np.float32, "bfloat16"),
}


def depth(run: Run) -> Measured:
    """Errors against the float64 reference, relative to the largest entry: see `verify.compare`.

    The error of u and du/dt is that of the worst sample of a batch, the error of the gradient that
    of the worst tensor. The networks are those of `DIGITS` with more blocks or fewer, whatever the
    configuration.
    """
    found = Measured("depth", run)
    for blocks in DEPTHS:
        for name, (dtype, products) in PRECISIONS.items():
            run.report(f"{blocks} blocks in {name}")
            case = _case(blocks, products)
            for quantity, error in errors(run.subject, case, dtype):
                settings: Settings = {"depth": blocks, "precision": name, "quantity": quantity}
                of = f"{quantity}, {name}, {blocks} blocks"
                found.add(of, case.config, settings, relative_error=error)
    return found


def errors(subject: ModuleType, case: Case, dtype: Any) -> Iterator[tuple[str, float]]:
    """Error of each of QUANTITIES, by name."""
    probe, x = Probe(subject, dtype, (case,)), case.inputs
    arrays = (x.z, x.r, x.t, x.labels, x.tangent)
    expected = reference.mean_velocity_jvp(
        case.config, *as_dtype((case.params, *arrays), np.float64)
    )
    actual = probe.call("mean_velocity_jvp", case.config, probe.params(case), *arrays)
    for name, ours, theirs in zip(QUANTITIES, actual, expected, strict=False):
        yield name, row_error(ours, theirs)
    gradient, known = probe.step(case)[1], case.step[1]
    yield QUANTITIES[2], max(relative_error(gradient[name], known[name]) for name in known)


def _case(blocks: int, products: str) -> Case:
    """Case of digits with perturbed parameters, the same in every precision."""
    config = from_sizes({**DIGITS, "depth": blocks}, {}, {"precision": products})
    images, labels = digits()
    batch = Batch(images[:ROWS], labels[:ROWS])
    params = perturbed_parameters(config, SEED)
    return Case(f"{blocks} blocks", config, params, batch, training_draws(config, SEED, 0, ROWS))
