"""`meanflow evaluate`."""

import math
from pathlib import Path
from typing import Any

from meanflow_repro import options

# Weight of the initial parameters in an EMA above which the raw parameters are scored beside it:
# the EMA has had too few updates for its decay.
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
    checksum: options.Checksum = True,
) -> int:
    """Score a checkpoint trained on digits or MNIST, with the scores of real images beside.

    The raw parameters are scored too while the EMA still holds over 1 % of the initial ones.

    Args:
        num_samples: number of samples to score.
        seed: seed of the noise.
        curve: record the run's loss curve too.
    """
    from impls.files import checkpoints
    from impls.frameworks import implementation

    options.check_generation(100, num_samples, num_steps, seed)
    options.check_writable(None, record)
    found = checkpoints.find(checkpoint, checksum=checksum)
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
    """Sample and score, print the scores beside those of real images, and record them."""
    from rich.console import Console
    from rich.table import Table

    from bench.records import keep
    from bench.studies.runs import curve_records, score_records
    from impls.common.timesteps import sampling_times
    from impls.fid import small_images
    from impls.trainer.generate import generate, scores
    from results.schema import Settings

    data = checkpoint.config.dataset

    def scored(which: str) -> Any:
        made = generate(checkpoint, num_samples, num_steps, seed, "balanced", framework, which)
        return scores(data, made)

    small_images.check(data)
    steps = len(sampling_times(checkpoint.config, num_steps)) - 1
    found, start = scored(weights), _share_of_start(checkpoint, weights)
    of_params = scored("params") if start > MUCH else {}
    table = Table(box=None, pad_edge=False)
    table.add_column(f"{num_samples} samples in {steps} step{'s' * (steps > 1)}")
    table.add_column(f"{framework}, step {checkpoint.step}", justify="right")
    table.add_column(f"real {data.kind}", justify="right")
    for name, (ours, real) in found.items():
        table.add_row(name, _shown(ours), _shown(real))
        if name in of_params:
            table.add_row("  of the raw parameters", _shown(of_params[name][0]))
    console = Console(highlight=False)
    console.print(table)
    if of_params:
        console.print(_few_steps(checkpoint, start), soft_wrap=True)
    if record:
        settings: Settings = {"num_samples": num_samples, "num_steps": steps}
        settings |= {"sampling_seed": seed, "weights": weights}
        records = score_records(checkpoint, framework, found, settings)
        records += curve_records(checkpoint, framework) if curve else []
        keep(records, data.kind, record, console)


def _shown(score: Any) -> str:
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"


def _few_steps(checkpoint: Any, start: float) -> str:
    """Reason why the raw parameters are scored beside the EMA, and what to do."""
    steps = f"{checkpoint.step} step{'s' * (checkpoint.step > 1)}"
    warm_up = "" if checkpoint.config.training.ema_warmup else " or set training.ema_warmup,"
    return (
        f"The EMA is still {start:.0%} initial parameters: {steps}, few for its decay."
        f" Train longer,{warm_up} or take --weights params."
    )


def _share_of_start(checkpoint: Any, weights: str) -> float:
    """Weight of the initial parameters in an EMA: the product of the decays of its updates."""
    from reference.optimizer import average_decay

    training = checkpoint.config.training
    if weights == "params" or not checkpoint.step:
        return 0.0
    decay = training.ema_val if weights == "ema" else float(weights)
    updates = range(training.ema_every, checkpoint.step + 1, training.ema_every)
    return math.prod(average_decay(checkpoint.config, step, decay) for step in updates)
