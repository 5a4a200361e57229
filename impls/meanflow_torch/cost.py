"""Cost of a training step as the framework counts it, and a matrix product for comparison."""

import time
from collections.abc import Callable
from itertools import accumulate as running
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

from impls.common.config import Config
from impls.common.types import Batch, Cost, Draws

from .device import Array, put, sync
from .step import State, accumulate, compile_step


def compile_with_cost(
    config: Config, state: State, batch: Batch, draws: Draws
) -> tuple[Callable[..., Any], Cost]:
    """Step of `compile_step`, compiled for arguments of these shapes, and its cost.

    PyTorch's counter counts matrix products alone, and no bytes moved. Two steps are made.
    """
    # Not by the fused attention of the CPU, which is not counted.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        accumulate(config, state.params, batch, draws, state.step)
    step = compile_step(config)
    begin = time.perf_counter()
    state, _ = sync(step(state, batch, draws))
    seconds = time.perf_counter() - begin
    peak = _peak_bytes(lambda: step(state, batch, draws), (state, batch, draws))
    return step, Cost(counter.get_total_flops(), None, peak, seconds)


def matrix_product(config: Config, size: int) -> Callable[[], Array]:
    """Function that multiplies two size x size matrices in `training.precision`."""
    low = torch.bfloat16 if config.training.precision == "bfloat16" else torch.float32
    matrix = put(np.sin(np.arange(size**2, dtype=np.float32)).reshape(size, size)).to(low)
    return lambda: matrix @ matrix


def _peak_bytes(call: Callable[[], Any], arguments: Any) -> int:
    """Peak memory of a call in bytes, its arguments included."""
    if torch.get_default_device().type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        sync(call())
        return torch.cuda.max_memory_allocated()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = profiler.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    held = sum(x.nbytes for x in pytree.tree_leaves(arguments) if isinstance(x, torch.Tensor))
    return held + max(running(change for _, change in sorted(changes)))
