"""Cost of a training step as the framework counts it, and a matrix product for comparison."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from impls.common.config import Config
from impls.common.types import Batch, Cost, Draws

from .device import Array, put
from .hlo import program
from .step import State, compile_step


def compile_with_cost(
    config: Config, state: State, batch: Batch, draws: Draws
) -> tuple[Callable[..., Any], Cost]:
    """Step of `compile_step`, compiled for arguments of these shapes, and its cost.

    Everything is counted by XLA: elementwise operations too; loops as often as they run (`count`).
    """
    begin = time.perf_counter()
    compiled = jax.jit(compile_step(config), donate_argnums=0).lower(state, batch, draws).compile()
    seconds = time.perf_counter() - begin
    return compiled, cost_of(compiled, seconds)


def cost_of(compiled: Any, compile_seconds: float) -> Cost:
    """Cost of a compiled program."""
    (flops, bytes_accessed), memory = count(compiled), compiled.memory_analysis()
    held, temporary = memory.argument_size_in_bytes, memory.temp_size_in_bytes
    peak = held + memory.output_size_in_bytes - memory.alias_size_in_bytes + temporary
    return Cost(flops, bytes_accessed, peak, compile_seconds, held, temporary)


def count(compiled: Any) -> tuple[float, float]:
    """FLOPs and bytes accessed of a compiled program.

    XLA's counts, which take the body of a loop once, times what `hlo.Program.times_run` says.
    """
    counts, times = compiled.cost_analysis(), program(compiled.as_text()).times_run()
    return counts["flops"] * times.flops, counts["bytes accessed"] * times.bytes


def matrix_product(config: Config, size: int) -> Callable[[], Array]:
    """Function that multiplies two size x size matrices in `training.precision`."""
    low = jnp.bfloat16 if config.training.precision == "bfloat16" else jnp.float32
    matrix = put(np.sin(np.arange(size**2, dtype=np.float32)).reshape(size, size)).astype(low)
    product = jax.jit(jnp.matmul)
    return lambda: product(matrix, matrix)
