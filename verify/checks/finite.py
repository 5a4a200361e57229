"""Which array is blamed when a number is not finite."""

from __future__ import annotations

from typing import Any

import numpy as np

from impls.common import parameters
from impls.common.types import Batch, Draws
from verify.cases import Array, Case, as_dtype
from verify.compare import Error, worst
from verify.probe import Probe
from verify.registry import check
from verify.trajectory import NEEDS, everything, inputs

GRADIENT = "the gradient of {}"
OVERFLOWING = "final_layer/linear/kernel"


@check("training", f"compile_step {NEEDS}", exact=True)
def finite_flags_name_what_is_not(probe: Probe) -> float:
    """Metrics.finite is False for the array that is not finite and those after it, else True."""
    case, wrong = probe.cases[0], {}
    names = parameters.watched(everything(case).network)
    # v_g comes after images, noise, t and r, and everything behind it after v_g.
    behind = set(names[names.index("v_g") :])
    batch, drawn = inputs(everything(case), 0)
    problems: dict[str, tuple[set[str], Any, Batch, Draws]] = {
        "nothing": (set(), case.params, batch, drawn),
        "NaN in images": (
            {"images"} | behind,
            case.params,
            batch._replace(images=_planted(batch.images, np.nan)),
            drawn,
        ),
        "infinity in noise": (
            {"noise"} | behind,
            case.params,
            batch,
            drawn._replace(noise=_planted(drawn.noise, np.inf)),
        ),
        "NaN in t_raw": (
            {"t", "r"} | behind,
            case.params,
            batch,
            drawn._replace(t_raw=_planted(drawn.t_raw, np.nan)),
        ),
        "overflow in one gradient": (
            {GRADIENT.format(OVERFLOWING)},
            _about_to_overflow(case, probe.dtype),
            batch._replace(images=drawn.noise - np.float32(1 / 80)),
            drawn,
        ),
    }
    for planted, (expected, *problem) in problems.items():
        flags = _flags(probe, case, *problem)
        if flags.shape != (len(names),):
            return Error(float("inf"), f"flags of shape {flags.shape} for {len(names)} names")
        for name, finite in zip(names, flags, strict=True):
            wrong[f"{planted}: {name}"] = float(bool(finite) is (name in expected))
    return worst(wrong)


def _flags(probe: Probe, case: Case, params: Any, batch: Batch, drawn: Draws) -> Array:
    config, subject = everything(case), probe.subject
    state = subject.init_state(config, probe.load(config, params).value)
    step_inputs = subject.put(as_dtype((batch, drawn), probe.dtype))
    _, metrics = probe.stepper(config)(state, *step_inputs)
    return np.asarray(subject.get(metrics.finite))


def _planted(array: Array, value: float) -> Array:
    """One entry in the last row, whose label is not dropped, is not finite."""
    changed = array.copy()
    changed[-1, ...].flat[0] = value
    return changed


def _about_to_overflow(case: Case, dtype: Any) -> Any:
    """Parameters with which the gradient of one kernel overflows, and nothing before it.

    The last layer is zero, so u is, and all gradients before that layer. With images that differ
    from the noise by a constant, u - target is that constant c in every pixel. Then the kernel's
    gradient is the sum of all its inputs times 2 w c / B > 0; these inputs are a tenth of the
    largest number, and the sum about 20 times that.
    """
    params = as_dtype(case.params, dtype)
    width = case.config.network.hidden_size
    shift = params["final_layer/adaLN/bias"].copy()
    shift[:width] = np.finfo(dtype).max / 10
    zeros = {
        name: np.zeros_like(params[name])
        for name in ("final_layer/linear/kernel", "final_layer/linear/bias")
    }
    return params | zeros | {"final_layer/adaLN/bias": shift}
