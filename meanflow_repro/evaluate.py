"""`meanflow evaluate`."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from meanflow_repro import options

# Weight of the initial parameters in an average above which the parameters are scored beside it: it
# has had too few updates for its decay.
MUCH = 0.01


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

    Those of the parameters too, where the average still holds over 1 % of the initial ones.

    Args:
        num_samples: samples that are scored.
        seed: of the noise.
        curve: record the losses of the run too.
    """
    from impls.files import checkpoints
    from impls.frameworks import implementation

    options.check_counts(least=100, num_samples=num_samples)
    options.check_counts(num_steps=num_steps)
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

    from bench.records import keep
    from bench.studies.runs import curve_records, score_records
    from impls.common.timesteps import sampling_times
    from impls.trainer.generate import check_scored, generate, scores
    from results.schema import Settings

    def scored(which: str) -> Any:
        made = generate(checkpoint, num_samples, num_steps, seed, "balanced", framework, which)
        return scores(made)

    check_scored(checkpoint.config)
    steps = len(sampling_times(checkpoint.config, num_steps)) - 1
    found, start = scored(weights), _share_of_start(checkpoint, weights)
    columns = {f"{framework}, step {checkpoint.step}": [ours for ours, _ in found.values()]}
    if start > MUCH:
        columns["parameters"] = [ours for ours, _ in scored("params").values()]
    columns["real digits"] = [real for _, real in found.values()]
    console = Console(highlight=False)
    head = f"{num_samples} samples in {steps} step{'s' * (steps > 1)}"
    _print_table(console, head, found, columns)
    if start > MUCH:
        steps_made = f"{checkpoint.step} step{'s' * (checkpoint.step > 1)}"
        warm_up = " or set training.ema_warmup," * (not checkpoint.config.training.ema_warmup)
        console.print(
            f"The average is still {start:.0%} initial parameters: {steps_made}, few for its decay."
            f" Train longer,{warm_up} or take --weights params.",
            soft_wrap=True,
        )
    if record:
        settings: Settings = {"num_samples": num_samples, "num_steps": steps}
        settings |= {"sampling_seed": seed, "weights": weights}
        records = score_records(checkpoint, framework, found, settings)
        records += curve_records(checkpoint, framework) if curve else []
        keep(records, "digits", record, console)


def _print_table(console: Any, head: str, names: Iterable[str], columns: dict[str, Any]) -> None:
    """A row for each score, a column for what was scored."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column(head)
    for of in columns:
        table.add_column(of, justify="right")
    for name, *row in zip(names, *columns.values(), strict=True):
        table.add_row(name, *(f"{s.value:.3f} [{s.low:.3f}, {s.high:.3f}]" for s in row))
    console.print(table)


def _share_of_start(checkpoint: Any, weights: str) -> float:
    """Weight of the initial parameters in an average: the product of the decays of its updates."""
    from reference.optimizer import average_decay

    training = checkpoint.config.training
    if weights == "params" or not checkpoint.step:
        return 0.0
    decay = training.ema_val if weights == "ema" else float(weights)
    updates = range(training.ema_every, checkpoint.step + 1, training.ema_every)
    return math.prod(average_decay(checkpoint.config, step, decay) for step in updates)
