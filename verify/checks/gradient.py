"""Gradient of the loss, tensor by tensor."""

import functools
from collections.abc import Iterator

import numpy as np

import reference
from impls.common.dtypes import as_dtype
from reference.derivative import central_difference
from reference.objective import tangent_gradient, tangent_velocity
from verify.cases import Array, Case
from verify.checks.objective.loss import STEP
from verify.compare import tensor_errors
from verify.probe import Probe
from verify.registry import Errors, NotApplicable, check
from verify.variations import ablations, compound, with_random_rows

LABELS = "y_embedder/embedding"  # a row for each label, the last for none


@check(STEP, exact=True)
def gradient_names_every_parameter(probe: Probe, case: Case) -> float:
    """The gradient has exactly the parameters' names and shapes."""
    shapes = {(name, array.shape) for name, array in probe.step(case)[1].items()}
    return float(len(shapes ^ {(name, array.shape) for name, array in case.params.items()}))


@check(STEP)
def gradient_matches_hand_written(probe: Probe, case: Case) -> Errors:
    """Every gradient tensor equals the reference, which carries cotangents by hand."""
    return tensor_errors(probe.step(case)[1], case.step[1])


@check(STEP)
def gradient_matches_complex_step(probe: Probe, case: Case) -> Errors:
    """Along random directions it equals Im loss(theta + i e d) / e, target and weight held."""
    gradient = as_dtype(probe.step(case)[1], np.float64)
    for index, expected in enumerate(case.slopes):
        wide = as_dtype(case.direction(index), np.float64)
        products = [gradient[name] * array for name, array in wide.items()]
        size = np.sqrt(sum((product**2).sum() for product in products))
        actual = sum(product.sum() for product in products)
        yield f"direction {index}", float(abs(actual - expected) / size)


@check(STEP, exact=True)
def unread_labels_get_no_gradient(probe: Probe, case: Case) -> float:
    """Label rows that no sample reads get no gradient."""
    if LABELS not in case.params:
        raise NotApplicable("its network has no table of labels")
    table = probe.step(case)[1][LABELS]
    unread = np.setdiff1d(np.arange(len(table)), case.step[0].labels_in)
    leak = np.abs(table[unread]).max() if unread.size else 0.0
    return float(leak / np.abs(table).max())


@check(STEP)
def gradient_with_random_rows_matches(probe: Probe) -> Errors:
    """With equal_rows random: every gradient tensor."""
    case = with_random_rows(probe.cases[0])
    return tensor_errors(probe.step(case)[1], case.step[1])


@check(f"{STEP} ablations")
def gradients_of_ablations_match(probe: Probe) -> Errors:
    """With another tangent or embedding, every gradient tensor equals the reference."""
    for case in ablations(probe, "method.tangent", "model.embedding"):
        yield from tensor_errors(probe.step(case)[1], case.step[1], case.name)


@check(f"{STEP} ablations")
def compound_gradients_match(probe: Probe) -> Errors:
    """Through l du/dt: every gradient tensor equals the reference's complex step of its VJP."""
    for case in compound(probe):
        yield from tensor_errors(probe.step(case)[1], case.step[1], case.name)


@check(f"{STEP} ablations")
def compound_gradients_match_central_difference(probe: Probe) -> Errors:
    """Through l du/dt: slopes along random directions equal central differences of u and du/dt."""
    probe.require(np.float64, "a difference needs the digits of float64")
    for case in compound(probe):
        gradient = probe.step(case)[1]
        for index, expected in enumerate(compound_slopes(case)):
            direction = as_dtype(case.direction(index), np.float64)
            products = [gradient[name] * array for name, array in direction.items()]
            size = np.sqrt(sum((product**2).sum() for product in products))
            actual = sum(product.sum() for product in products)
            yield f"{case.name}, direction {index}", float(abs(actual - expected) / size)


def compound_slopes(case: Case) -> Iterator[float]:
    """Slopes of the compound loss by central differences, with what passes no gradient held."""
    config, (held, _) = case.config, case.step
    params = as_dtype(case.params, np.float64)
    share = tangent_gradient(config, case.steps_made)
    w = tangent_velocity(config, params, held.z, held.t, held.v_g, held.labels_in)
    factor = np.clip(held.t - held.r, 0, 1)[:, None, None, None]
    pixels = held.z[0].size if config.method.reduction == "mean" else 1

    def loss(direction: dict[str, Array], step: float) -> Array:
        moved = {name: array + step * direction[name] for name, array in params.items()}
        inputs = held.z, held.r, held.t, held.labels_in, w
        u, du_dt = reference.mean_velocity_jvp(config, moved, *inputs)
        compound = u + factor * (share * du_dt + (1 - share) * held.du_dt)
        error = ((compound - held.v_g) ** 2).sum((1, 2, 3)) / pixels
        return np.asarray((held.weight * error).mean())

    for index in range(2):
        direction = as_dtype(case.direction(index), np.float64)
        yield float(central_difference(functools.partial(loss, direction), 1e-3))
