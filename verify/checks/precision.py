"""Matrix products in bfloat16: near float32 to its rounding, and not float32 itself."""

import functools
from dataclasses import replace
from typing import Any

import numpy as np

from impls.common.dtypes import as_dtype
from verify.cases import Array, Case
from verify.compare import row_error, tensor_errors
from verify.probe import Probe
from verify.registry import Errors, check
from verify.trajectory import NEEDS, with_training

STEP = "loss_and_gradient load_params export_params"
UNIT = 2.0**-9  # relative size of one rounding to bfloat16, which keeps eight bits
# From z to u a number is rounded about a dozen times in a row, each time by up to a unit of the
# largest entry, and as often on the way back. Measured with two blocks: 7 units at most, in u.
ALLOWED = 10 * UNIT
LOWERED = "training.precision lowers float32"


def _lowered(probe: Probe) -> tuple[Any, dict[str, Array]]:
    """Loss and gradient with products in bfloat16."""
    probe.require(np.float32, LOWERED)
    return probe.step(_in_bfloat16(probe.cases[0]))


@functools.cache
def _in_bfloat16(case: Case) -> Case:
    return replace(case, config=with_training(case, precision="bfloat16"))


@check(STEP, allow=ALLOWED)
def bfloat16_stays_near_float32(probe: Probe) -> Errors:
    """u, du/dt, errors, loss and gradients are those of float32 to a few roundings to bfloat16."""
    loss, gradient = _lowered(probe)
    exact, exact_gradient = probe.step(probe.cases[0])
    for field in ("u", "du_dt", "target", "squared_error", "v_loss", "total"):
        yield field, row_error(getattr(loss, field), getattr(exact, field))
    yield from tensor_errors(gradient, exact_gradient)


# A subject without compile_step trains nothing, and need not know a setting of training.
@check(f"compile_step {STEP}", exact=True)
def bfloat16_is_not_float32(probe: Probe) -> Errors:
    """Every row of u in bfloat16 differs from float32: the setting has an effect."""
    u, exact = _lowered(probe)[0].u, probe.step(probe.cases[0])[0].u
    rows = tuple(range(1, exact.ndim))
    same = np.abs(u - exact).max(rows) < UNIT / 4 * np.abs(exact).max(rows)
    yield "rows that are the same", float(np.sum(same))


@check(f"compile_step {STEP} {NEEDS}", exact=True)
def bfloat16_keeps_float32_parameters(probe: Probe) -> Errors:
    """Loss, gradients, and the state after a step in bfloat16 are float32."""
    loss, gradient = _lowered(probe)
    case, subject = _in_bfloat16(probe.cases[0]), probe.subject
    config = case.config
    state = subject.init_state(config, probe.params(case).value)
    arguments = subject.put(as_dtype((case.batch, case.draws), probe.dtype))
    state, _ = subject.train_step(config, state, *arguments)
    trees = {
        "loss": {name: array for name, array in loss._asdict().items() if name != "labels_in"},
        "gradient of": gradient,
        "parameter": subject.export_params(config, state.params),
        "average of": subject.export_params(config, state.ema_params),
    }
    for kind, tree in trees.items():
        for name, array in tree.items():
            dtype = np.asarray(array).dtype
            yield f"{kind} {name} is {dtype}", float(dtype != "f4")
