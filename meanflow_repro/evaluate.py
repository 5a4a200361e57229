"""`meanflow evaluate`."""

from pathlib import Path
from typing import Any

from meanflow_repro import options


@options.app.command(name="evaluate")
def evaluate(
    *,
    checkpoint: options.Run,
    num_samples: int = 1000,
    num_steps: options.NumSteps = None,
    seed: int = 0,
    weights: options.Weights = "ema",
    framework: options.Maker = None,
    device: options.Device = "auto",
    record: options.ScoreRecords = None,
    curve: bool = False,
) -> int:
    """Print the scores of a checkpoint of digits, with those of real digits beside them.

    Args:
        num_samples: samples that are scored.
        seed: of the noise.
        curve: record the losses of the run too.
    """
    from impls.files import checkpoints
    from impls.frameworks import implementation

    options.check_generation(100, num_samples, num_steps, seed)
    options.check_writable(None, record)
    found = checkpoints.find(checkpoint)
    made_by: str = framework or found.framework
    implementation(made_by).select_device(device)
    print_scores(found, made_by, num_samples, num_steps, seed, weights, record, curve=curve)
    return 0


def print_scores(
    checkpoint: Any,
    framework: str,
    num_samples: int = 1000,
    num_steps: int | None = None,
    seed: int = 0,
    weights: str = "ema",
    record: Path | None = None,
    *,
    curve: bool = False,
) -> None:
    """Sample, score and print the scores of digits beside those of real ones; record them."""
    from rich.console import Console
    from rich.table import Table

    from bench.records import keep
    from bench.studies.runs import curve_records, score_records
    from impls.common.timesteps import sampling_times
    from impls.trainer.generate import check_scored, generate, scores
    from results.schema import Settings

    check_scored(checkpoint.config)
    steps = len(sampling_times(checkpoint.config, num_steps)) - 1
    made = generate(checkpoint, num_samples, num_steps, seed, "balanced", framework, weights)
    found = scores(made)
    table = Table(box=None, pad_edge=False)
    table.add_column(f"{num_samples} samples in {steps} step{'s' * (steps > 1)}")
    table.add_column(f"{framework}, step {checkpoint.step}", justify="right")
    table.add_column("real digits", justify="right")
    for name, pair in found.items():
        shown = (f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]" for score in pair)
        table.add_row(name, *shown)
    console = Console(highlight=False)
    console.print(table)
    if record:
        settings: Settings = {"num_samples": num_samples, "num_steps": steps}
        settings |= {"sampling_seed": seed, "weights": weights}
        records = score_records(checkpoint, framework, found, settings)
        records += curve_records(checkpoint, framework) if curve else []
        keep(records, "digits", record, console)
