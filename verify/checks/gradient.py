"""The gradient of the loss, tensor by tensor."""

from __future__ import annotations

import numpy as np

from verify.cases import as_dtype
from verify.compare import relative_error, worst
from verify.probe import Probe
from verify.registry import check

NUM_DIRECTIONS = 4


@check("gradient", "loss_and_gradient load_params export_params", exact=True)
def gradient_names_every_parameter(probe: Probe) -> float:
    """The gradient has exactly the parameters' names and shapes."""
    errors = {}
    for case in probe.cases:
        gradient = probe.step(case)[1]
        shapes = {name: array.shape for name, array in gradient.items()}
        expected = {name: array.shape for name, array in case.params.items()}
        errors[case.name] = float(len(set(shapes.items()) ^ set(expected.items())))
    return worst(errors)


@check("gradient", "loss_and_gradient load_params export_params")
def gradient_matches_hand_written(probe: Probe) -> float:
    """Every gradient tensor equals the reference, which carries cotangents by hand."""
    errors = {}
    for case in probe.cases:
        gradient, expected = probe.step(case)[1], case.step[1]
        for name in expected:
            errors[f"{case.name} {name}"] = relative_error(gradient[name], expected[name])
    return worst(errors)


@check("gradient", "loss_and_gradient load_params export_params")
def gradient_matches_complex_step(probe: Probe) -> float:
    """Along random directions it equals Im loss(theta + i e d) / e, target and weight held."""
    errors = {}
    for case in probe.cases:
        gradient = as_dtype(probe.step(case)[1], np.float64)
        for index in range(NUM_DIRECTIONS):
            direction = as_dtype(case.direction(index), np.float64)
            expected = case.slope(index)
            products = {name: gradient[name] * direction[name] for name in direction}
            size = np.sqrt(sum((product**2).sum() for product in products.values()))
            actual = sum(product.sum() for product in products.values())
            errors[f"{case.name} direction {index}"] = float(abs(actual - expected) / size)
    return worst(errors)


@check("gradient", "loss_and_gradient load_params export_params", exact=True)
def unread_labels_get_no_gradient(probe: Probe) -> float:
    """Label rows that no sample reads get no gradient."""
    errors = {}
    for case in probe.cases:
        table = probe.step(case)[1]["y_embedder/embedding"]
        unread = np.setdiff1d(np.arange(len(table)), case.step[0].labels_in)
        leak = np.abs(table[unread]).max() if unread.size else 0.0
        errors[case.name] = float(leak / np.abs(table).max())
    return worst(errors)
