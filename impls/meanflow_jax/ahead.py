"""Ahead-of-time compilation of a training step for a TPU that is not attached.

The package libtpu contains XLA's TPU compiler and runs on any x86 machine. It needs the shapes of
the arguments alone: nothing is allocated and nothing is run. A topology such as v4:2x2x1 names the
chip and the shape of a slice; the step is compiled for the first device of the slice.

libtpu writes to the standard error stream, and an internal error of the compiler ends the process:
bench/tpu/compiler.py runs this in a process of its own.
"""

import contextlib
import gc
import hashlib
import importlib.util
import json
import os
import re
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from impls.common.config import Config
from impls.common.errors import DoesNotFitError, NotInstalledError, UserError
from impls.common.parameters import tensors
from impls.common.types import Batch, Cost, Draws

from .cost import cost_of
from .device import Array
from .draws import device_draws
from .stacking import stack
from .step import State, compile_step, init_state

# Without these, libtpu asks the cloud's metadata server which TPU this machine has, and allows one
# process at a time; JAX fills in the last two with error messages where there is no server.
ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v4-8",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
# libtpu's default makes a device of each of a chip's two TensorCores. On TPU VMs a v4 chip is one
# device that has both, and their memory.
CHIP_CONFIG = {"v4": "megacore"}
PACKAGES = ("jax", "jaxlib", "libtpu")  # whose versions the compiled program depends on
OPTIONS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")  # and variables that the compiler reads
NO_MEMORY = re.compile(r"\(([\d.]+[KMGT]?)\) exceeds available HBM \(([\d.]+[KMGT]?)\)")


class Lowered(NamedTuple):
    """Program lowered for a device, not compiled yet."""

    key: str  # SHA-256 of all that the compiled program depends on
    compile: Callable[[], Cost]  # raises DoesNotFitError


class Target(NamedTuple):
    """Device to compile for."""

    topology: str
    device: Any  # the first of the topology


def target(topology: str) -> Target:
    """First device of a topology, to compile for.

    Raises:
        NotInstalledError: without libtpu.
        UserError: for a topology that does not exist.
    """
    if not (importlib.util.find_spec("libtpu") or os.environ.get("TPU_LIBRARY_PATH")):
        raise NotInstalledError(
            "the package libtpu is not installed, which compiles for TPUs: "
            'pip install -c constraints.txt -e ".[tpu]"'
        )
    chip = topology.partition(":")[0]
    config = {"chip_config_name": CHIP_CONFIG[chip]} if chip in CHIP_CONFIG else {}
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        description = topologies.get_topology_desc(topology, platform="tpu", **config)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"the TPU compiler has no topology {topology} ({reason})") from error
    return Target(topology, description.devices[0])


def lower_step(config: Config, target: Target) -> Lowered:
    """Training step of `compile_step` for arguments of the configuration's shapes, state donated.

    Products are computed as a TPU does by default: float32 in one pass of bfloat16.
    """
    return lower(compile_step(config), step_shapes(config), target, donate_argnums=0)


def lower(step: Callable[..., Any], arguments: Any, target: Target, **options: Any) -> Lowered:
    """Function of arguments of these shapes for one device; `options` are those of jax.jit."""
    placed = SingleDeviceSharding(target.device)
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placed), arguments
    )
    with jax.default_matmul_precision("default"):
        lowered = jax.jit(step, **options).lower(*shapes)

    def compiled() -> Cost:
        begin = time.perf_counter()
        try:
            program = lowered.compile()
        except jax.errors.JaxRuntimeError as error:
            raise _explained(error) from error
        return cost_of(program, time.perf_counter() - begin)

    return Lowered(_key(lowered.as_text(), target), compiled)


def forget() -> None:
    """Free the memory of what was traced and compiled."""
    jax.clear_caches()
    gc.collect()


def step_shapes(config: Config) -> tuple[State, Batch, Draws]:
    """Shapes and dtypes of a training step's state, batch and draws."""

    def fresh(by_name: dict[str, Array]) -> State:
        return init_state(config, stack(by_name))

    shapes = {x.name: jax.ShapeDtypeStruct(x.shape, jnp.float32) for x in tensors(config.network)}
    state = jax.eval_shape(fresh, shapes)
    draws = jax.eval_shape(lambda: device_draws(config, 0))
    labels = jax.ShapeDtypeStruct(draws.t_raw.shape, jnp.int32)
    return state, Batch(draws.noise, labels), draws


def _key(program: str, target: Target) -> str:
    """SHA-256 of a program and of the compiler's target, versions and options."""
    about = [target.topology, str(getattr(target.device, "num_cores", 1))]
    about += [f"{name} {_version(name)}" for name in PACKAGES]
    about += [f"{name}={os.environ.get(name, '')}" for name in OPTIONS]
    return hashlib.sha256(json.dumps([program, *about]).encode()).hexdigest()


def _version(name: str) -> str:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return "unknown"


def _explained(error: Exception) -> Exception:
    """DoesNotFitError for a program that the compiler finds too large; otherwise the error."""
    found = NO_MEMORY.search(str(error))
    if not found:
        return error
    needed, available = found.groups()
    return DoesNotFitError(f"needs {needed}iB of memory, more than the {available}iB available")
