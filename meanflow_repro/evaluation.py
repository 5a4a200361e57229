"""`meanflow sample` and `meanflow evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from meanflow_repro.options import app, check_count, check_writable


@app.command(name="sample")
def sample(
    *,
    checkpoint: Path,
    output_dir: Path,
    num_samples: int = 64,
    num_steps: int | None = None,
    seed: int = 0,
    labels: str = "balanced",
    weights: str = "ema",
    framework: Literal["jax", "torch"] | None = None,
    device: str = "auto",
    save_images: bool = False,
) -> int:
    """Make samples with a checkpoint of either framework: samples.npz and grid.png.

    Args:
        checkpoint: a run's folder, or that of one of its checkpoints.
        output_dir: folder to write to.
        num_samples: how many.
        num_steps: network calls for each; as configured (one) by default.
        seed: of the noise and of random labels.
        labels: balanced (0, 1, 2, … in turn), random, or one label.
        weights: ema, params (no average), or the decay of one of the averages that were kept.
        framework: makes the samples; that of the checkpoint by default.
        device: auto (a GPU or TPU where there is one), cpu, cuda, …
        save_images: also write each sample as a PNG.
    """
    from impls.files import checkpoints
    from impls.interop.convert import implementation
    from impls.trainer.generate import generate, write_samples

    check_count("--num-samples", num_samples)
    check_count("--num-steps", num_steps)
    found = checkpoints.find(checkpoint)
    implementation(framework or found.framework).select_device(device)
    made = generate(found, num_samples, num_steps, seed, labels, framework, weights)
    for path in write_samples(made, output_dir, single=save_images)[:2]:
        print(f"wrote {path}")
    return 0


@app.command(name="evaluate")
def evaluate(
    *,
    checkpoint: Path,
    num_samples: int = 1000,
    num_steps: int | None = None,
    seed: int = 0,
    weights: str = "ema",
    framework: Literal["jax", "torch"] | None = None,
    device: str = "auto",
    record: Path | None = None,
    curve: bool = False,
) -> int:
    """Print the scores of a checkpoint of digits, with those of real digits beside them.

    Args:
        checkpoint: a run's folder, or that of one of its checkpoints.
        num_samples: samples that are scored.
        num_steps: network calls for each; as configured (one) by default.
        seed: of the noise.
        weights: ema, params (no average), or the decay of one of the averages that were kept.
        framework: makes the samples; that of the checkpoint by default.
        device: auto (a GPU or TPU where there is one), cpu, cuda, …
        record: folder to append records of the scores to.
        curve: record the losses of the run too.
    """
    from impls.files import checkpoints
    from impls.interop.convert import implementation

    check_count("--num-samples", num_samples, least=100)
    check_count("--num-steps", num_steps)
    check_writable(None, record)
    found = checkpoints.find(checkpoint)
    made_by: str = framework or found.framework
    implementation(made_by).select_device(device)
    print_scores(found, made_by, num_samples, num_steps, seed, weights, record, curve=curve)
    return 0


def print_scores(
    checkpoint: Any,
    framework: str,
    num_samples: int,
    num_steps: int | None,
    seed: int,
    weights: str = "ema",
    record: Path | None = None,
    *,
    curve: bool = False,
) -> None:
    """Sample, score and print the scores of digits beside those of real ones; record them."""
    from rich.console import Console
    from rich.table import Table

    from bench.studies.runs import curve_records, score_records
    from impls.common.timesteps import sampling_times
    from impls.trainer.generate import check_scored, generate, scores
    from results.schema import append, record_file

    check_scored(checkpoint.config)
    steps = len(sampling_times(checkpoint.config, num_steps)) - 1
    made = generate(checkpoint, num_samples, num_steps, seed, "balanced", framework, weights)
    found = scores(made)
    made_of = f"{num_samples} samples in {steps} step{'s' * (steps > 1)}"
    table = Table(box=None, pad_edge=False)
    table.add_column(made_of)
    table.add_column(f"{framework}, step {checkpoint.step}", justify="right")
    table.add_column("real digits", justify="right")
    for name, pair in found.items():
        shown = (f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]" for score in pair)
        table.add_row(name, *shown)
    console = Console(highlight=False)
    console.print(table)
    if record:
        settings: dict[str, int | float | str] = {
            "num_samples": num_samples,
            "num_steps": steps,
            "sampling_seed": seed,
            "weights": weights,
        }
        records = score_records(checkpoint, framework, found, settings)
        records += curve_records(checkpoint, framework) if curve else []
        path = record_file(record, "digits", records[0].date)
        append(records, path)
        console.print(f"records appended to {path}", soft_wrap=True)
