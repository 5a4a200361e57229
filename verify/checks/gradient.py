"""The gradient of the loss, tensor by tensor."""

import numpy as np

from impls.common.dtypes import as_dtype
from verify.cases import Case
from verify.checks.objective.loss import STEP
from verify.compare import tensor_errors
from verify.probe import Probe
from verify.registry import Errors, NotApplicable, check
from verify.variations import ablations, with_random_rows

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
