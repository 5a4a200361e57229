"""Which array is blamed when a number is not finite."""

from typing import Any

import numpy as np

from impls.common import parameters
from impls.common.dtypes import as_dtype
from impls.common.types import Batch, Draws
from verify.cases import Array, Case
from verify.probe import Probe
from verify.registry import Errors, check
from verify.trajectory import NEEDS, everything, inputs

GRADIENT = "the gradient of final_layer/linear/kernel"  # the one that overflows
SHIFT = "final_layer/adaLN/bias"  # its first half is the shift of what that kernel reads


@check(f"compile_step {NEEDS}", exact=True)
def finite_flags_name_what_is_not(probe: Probe) -> Errors:
    """Metrics.finite is False for the array that is not finite and those after it, else True."""
    case = probe.cases[0]
    names = parameters.finite_names(everything(case).network)
    behind = set(names[names.index("v_g") :])  # images, noise, t and r
    batch, drawn = inputs(everything(case), 0)
    bad_images = batch._replace(images=_planted(batch.images, np.nan))
    bad_noise = drawn._replace(noise=_planted(drawn.noise, np.inf))
    bad_times = drawn._replace(t_raw=_planted(drawn.t_raw, np.nan))
    # what is planted: the arrays that are blamed; parameters, batch and draws
    problems: dict[str, tuple[set[str], Any, Batch, Draws]] = {
        "nothing": (set(), case.params, batch, drawn),
        "NaN in images": ({"images"} | behind, case.params, bad_images, drawn),
        "infinity in noise": ({"noise"} | behind, case.params, batch, bad_noise),
        "NaN in t_raw": ({"t", "r"} | behind, case.params, batch, bad_times),
    }
    if SHIFT in case.params:
        overflowing = _about_to_overflow(case, probe.dtype)
        constant = batch._replace(images=drawn.noise - np.float32(1 / 80))
        problems["overflow in one gradient"] = ({GRADIENT}, overflowing, constant, drawn)
    for planted, (expected, *problem) in problems.items():
        flags = _flags(probe, case, *problem)
        if flags.shape != (len(names),):
            yield f"flags of shape {flags.shape} for {len(names)} names", np.inf
            return
        for name, finite in zip(names, flags, strict=True):
            yield f"{planted}: {name}", float(bool(finite) is (name in expected))


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
    shift = params[SHIFT].copy()
    shift[: len(shift) // 2] = np.finfo(dtype).max / 10
    last = ("final_layer/linear/kernel", "final_layer/linear/bias")
    zeros = {name: np.zeros_like(params[name]) for name in last}
    return params | zeros | {SHIFT: shift}
