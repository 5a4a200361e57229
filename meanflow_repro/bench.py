"""`meanflow bench`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from impls.common.errors import UserError
from meanflow_repro import options

if TYPE_CHECKING:
    from bench.measurement import Compiled


@options.app.command(name="bench")
def bench(
    names: Positional[
        tuple[
            Literal["jvp-overhead", "throughput", "sampling", "attention", "depth", "tpu", "gpu"],
            ...,
        ]
    ],
    /,
    *,
    framework: options.Framework | None = None,
    device: options.Device = "auto",
    config: str | None = None,
    rounds: int = 7,
    against: str | None = None,
    forms: tuple[str, ...] = (),
    models: tuple[str, ...] = (),
    batch_sizes: tuple[int, ...] = (),
    chips: tuple[str, ...] = (),
    precisions: tuple[Literal["float32", "bfloat16"], ...] = (),
    largest_batch: bool = False,
    json: Path | None = None,
    record: Path | None = None,
    override: options.Override = (),
) -> int:
    """Benchmark JVP overhead, throughput, sampling, overhead by tokens, rounding error by depth.

    Without --config: preset mf_b4 with a small network (DiT_S_4) and batch (32). Any key of the
    configuration is an option too: --model.cls DiT_B_4 --training.batch-size 64.

    tpu times the steps of DiT_B_4 on a TPU that is attached. Where none is, or with --device cpu,
    the steps are compiled for TPUs and not run: FLOPs, bytes and memory are counted by the
    compiler, and times estimated.

    gpu times the steps of DiT_B_4 to DiT_XL_2 on a GPU, in float32 with TF32 products and in
    bfloat16, with PyTorch eager and compiled: time, JVP overhead, memory and MFU.

    Args:
        names: jvp-overhead, throughput, sampling, attention, depth, tpu; one or more, or gpu alone.
        framework: jax or torch; tpu is jax.
        config: a preset's name or a YAML file; network and batch size are then taken from it.
        rounds: number of timed runs of each step, interleaved with the others.
        against: official=PATH also times the training step of a checkout of the authors' code
            (jvp-overhead, jax), or compiles it (tpu).
        forms: forms of the loss for jvp-overhead, tpu and gpu, such as "unguided sparse"; all by
            default, for gpu four.
        models: network sizes for throughput, tpu and gpu.
        batch_sizes: batch sizes for throughput, tpu and gpu.
        chips: TPUs to compile for: v4, v5e, v5p, v6e, or a topology such as v4:2x2x2.
        precisions: precisions for tpu and gpu; float32 and bfloat16 by default.
        largest_batch: also look for the largest batch that fits a TPU's memory.
        json: file to write the times to, in the format of pytest-benchmark.
        record: folder to append records of every number to.
    """
    if set(names) == {"depth"}:  # nothing is timed: compile fast
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # PyTorch's profiler logs its start

    from bench.command import checkout, measure
    from bench.measurement import Run
    from impls.frameworks import implementation

    framework, compiled = framework or _framework(names), None
    if "tpu" in names:
        compiled = _to_compile(framework, device, chips, precisions, largest_batch)
        device = "auto" if compiled else "tpu"
    if "gpu" in names:
        _multiply_in_tf32(names)
    options.check_counts(rounds=rounds)
    for size in batch_sizes:
        options.check_batches(batch_sizes=size)
    options.check_writable(json, record)
    module, changes = implementation(framework), options.overrides(override)
    if "gpu" in names:
        from bench.gpu.device import select_gpu

        select_gpu(module, device)
    else:
        module.select_device(device)
    official = checkout(against)
    run = Run(
        module, framework, config, changes, rounds, forms, models, batch_sizes, official, compiled,
        precisions=precisions,
    )  # fmt: skip
    measure(names, run, json, record)
    return 0


def _framework(names: Sequence[str]) -> options.Framework:
    """Framework where none is given: tpu has one."""
    if set(names) == {"tpu"}:
        return "jax"
    raise UserError("--framework is missing: write --framework jax or --framework torch")


def _to_compile(
    framework: str, device: str, chips: Sequence[str], precisions: Sequence[str], largest: bool
) -> "Compiled | None":
    """Settings of steps to compile for TPUs; None where a TPU is attached to time them on."""
    from bench.measurement import Compiled
    from bench.tpu.compiler import num_attached

    if framework != "jax":
        raise UserError("the bench tpu is for --framework jax")
    if device not in ("auto", "cpu", "tpu"):
        raise UserError(f"--device is {device}, expected auto, tpu or cpu for the bench tpu")
    if device == "cpu" or not num_attached():
        if device == "tpu":
            raise UserError("--device is tpu, but JAX has no such device here")
        return Compiled(chips, precisions, largest)
    os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "default"  # as JAX multiplies on TPUs
    return None


def _multiply_in_tf32(names: Sequence[str]) -> None:
    """Let a GPU multiply float32 in TF32: JAX and PyTorch read this when they are imported."""
    if set(names) != {"gpu"}:
        raise UserError("the bench gpu multiplies float32 in TF32: run it without another bench")
    os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "default"
    os.environ["TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"] = "1"
