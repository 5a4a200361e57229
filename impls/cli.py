"""The `meanflow` command. Its subcommands import what they need when they run."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import tyro
import yaml
from tyro.conf import Positional, UseAppendAction, arg

from impls.common.errors import UserError

SUBJECTS = ("impls.meanflow_jax", "impls.meanflow_torch")
app = tyro.extras.SubcommandApp()


@app.command(name="verify")
def verify(
    subjects: Positional[tuple[str, ...]] = (),
    /,
    *,
    check: UseAppendAction[tuple[str, ...]] = (),
    golden: Path | None = None,
    json: Path | None = None,
    record: Path | None = None,
    list: bool = False,  # noqa: A002  the name of the option
) -> int:
    """Check implementations against the reference, the official numbers and each other.

    Args:
        subjects: module names; both implementations by default.
        check: a check or a family of checks, shell patterns allowed; may be repeated.
        golden: folder of golden files to check against, instead of the bundled one.
        json: file to write every outcome to.
        record: folder to append records of this run to.
        list: print the checks with what they say, and stop.
    """
    # The problems are tiny: threads of PyTorch and BLAS would mostly wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    from rich.console import Console

    from verify import report as reports
    from verify.golden import BUNDLED, load_golden, load_trainings, unread
    from verify.runner import run, select

    console = Console(highlight=False, soft_wrap=True)
    checks = select(check)
    if list:
        for chosen in checks:
            console.print(f"{chosen.family}: {chosen.name}\n    {chosen.sentence}", markup=False)
        return 0
    folder = golden or BUNDLED
    cases, trainings = load_golden(folder), load_trainings(folder)
    _check_writable(json, record)
    modules = _load_subjects(subjects)
    with console.status("") as status:
        found = run(modules, checks, cases, trainings, progress=status.update)
    reports.print_report(found, console)
    for case in cases:
        if extra := unread(case):
            console.print(f"not checked in golden case {case.name}: {', '.join(extra)}")
    if json:
        reports.write_json(found, json)
    if record:
        console.print(f"records appended to {reports.write_records(found, record)}")
    return 1 if found.failed else 0


def _load_subjects(names: Sequence[str]) -> list[tuple[str, ModuleType]]:
    """Modules by name; of the default ones, those whose framework is installed."""
    from verify.probe import NotInstalled, load_subject

    if names:
        return [(name, load_subject(name)) for name in names]
    modules: list[tuple[str, ModuleType]] = []
    missing = []
    for name in SUBJECTS:
        try:
            modules.append((name, load_subject(name)))
        except NotInstalled as error:
            missing.append(str(error))
    if not modules:
        raise UserError(
            "; ".join(missing) + ': install one with pip install -e ".[jax]" or ".[torch]"'
        )
    for line in missing:
        print(f"not checked: {line}")
    return modules


def _check_writable(file: Path | None, folder: Path | None) -> None:
    """Find out before the work, not after it."""
    try:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        if file:
            file.open("a").close()
    except OSError as error:
        raise UserError(f"cannot write to {error.filename}: {error.strerror}") from error


@app.command(name="config")
def config(
    source: Positional[str] = "digits",
    /,
    *,
    override: Annotated[UseAppendAction[tuple[str, ...]], arg(name="set")] = (),
) -> int:
    """Print a configuration, complete, with the size of its network.

    Args:
        source: a preset's name or a YAML file.
        override: SECTION.KEY=VALUE, laid over the configuration; may be repeated.
    """
    from impls.common.config_files import effective_yaml, load_config
    from impls.common.weights import num_parameters

    loaded = load_config(source, dict(map(_assignment, override)))
    print(f"# {num_parameters(loaded.network):,} parameters")
    print(effective_yaml(loaded), end="")
    return 0


@app.command(name="train")
def train(
    *,
    framework: Literal["jax", "torch"],
    workdir: Path,
    config: str = "digits",
    override: Annotated[UseAppendAction[tuple[str, ...]], arg(name="set")] = (),
) -> int:
    """Train, or go on from the newest checkpoint of the run's folder; then print the scores.

    Any key of the configuration is an option too: --training.num-steps 200.

    Args:
        framework: jax or torch.
        workdir: folder of the run: checkpoints, TensorBoard, configuration.
        config: a preset's name or a YAML file.
        override: SECTION.KEY=VALUE, laid over the configuration; may be repeated.
    """
    from impls.common.config_files import load_config
    from impls.generate import implementation
    from impls.train import train as run_training

    loaded = load_config(config, dict(map(_assignment, override)))
    checkpoint = run_training(implementation(framework), framework, loaded, workdir)
    finished = checkpoint.step >= (loaded.training.num_steps or checkpoint.step)
    if finished and loaded.dataset.name == "digits":
        _print_scores(checkpoint, num_samples=1000, num_steps=1, seed=0)
    return 0


@app.command(name="sample")
def sample(
    *,
    checkpoint: Path,
    output_dir: Path,
    num_samples: int = 64,
    num_steps: int = 1,
    seed: int = 0,
    labels: str = "balanced",
    save_images: bool = False,
) -> int:
    """Make samples with the moving average of a checkpoint: samples.npz and grid.png.

    Args:
        checkpoint: a run's folder, or that of one of its checkpoints.
        output_dir: folder to write to.
        num_samples: how many.
        num_steps: network calls for each.
        seed: of the noise and of random labels.
        labels: balanced (0, 1, 2, … in turn), random, or one label.
        save_images: also write each sample as a PNG.
    """
    from impls.common import checkpoints
    from impls.generate import generate, write_samples

    _check_count("--num-samples", num_samples)
    _check_count("--num-steps", num_steps)
    made = generate(checkpoints.find(checkpoint), num_samples, num_steps, seed, labels)
    for path in write_samples(made, output_dir, single=save_images)[:2]:
        print(f"wrote {path}")
    return 0


@app.command(name="evaluate")
def evaluate(
    *, checkpoint: Path, num_samples: int = 1000, num_steps: int = 1, seed: int = 0
) -> int:
    """Print the scores of a checkpoint, with those of real data beside them.

    Args:
        checkpoint: a run's folder, or that of one of its checkpoints.
        num_samples: samples that are scored.
        num_steps: network calls for each.
        seed: of the noise.
    """
    from impls.common import checkpoints

    _check_count("--num-samples", num_samples, least=100)
    _check_count("--num-steps", num_steps)
    _print_scores(checkpoints.find(checkpoint), num_samples, num_steps, seed)
    return 0


def _print_scores(checkpoint: Any, num_samples: int, num_steps: int, seed: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from impls.generate import scores

    table = Table(box=None, pad_edge=False)
    table.add_column(f"{num_samples} samples in {num_steps} step{'s' * (num_steps > 1)}")
    table.add_column(f"{checkpoint.framework}, step {checkpoint.step}", justify="right")
    table.add_column("real digits", justify="right")
    for row in scores(checkpoint, num_samples, num_steps, seed):
        table.add_row(*row)
    Console(highlight=False).print(table)


def _check_count(option: str, value: int, least: int = 1) -> None:
    if value < least:
        raise UserError(f"{option} is {value}, expected a whole number, {least} or more")


def _assignment(text: str) -> tuple[str, object]:
    key, sign, value = text.partition("=")
    if not sign:
        raise UserError(f"--set {text} has no value: write SECTION.KEY=VALUE")
    try:
        return key, yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise UserError(f"--set {text}: the value is not readable YAML") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 2 for what the user can mend."""
    # Float64 checks need 64-bit mode, and exact float32 products, before JAX is imported.
    os.environ.setdefault("JAX_ENABLE_X64", "1")
    os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
    try:
        given = sys.argv[1:] if arguments is None else arguments
        status: int = app.cli(prog="meanflow", args=_spell_out_keys(given))
    except UserError as error:
        print(f"meanflow: {error}", file=sys.stderr)
        return 2
    return status


def _spell_out_keys(arguments: Sequence[str]) -> list[str]:
    """Turn `--section.some-key value` into `--set section.some_key=value`."""
    spelled, rest = [], iter(arguments)
    for argument in rest:
        match = re.fullmatch(r"--([a-z]+)\.([\w-]+)(?:=(.*))?", argument, re.DOTALL)
        if match:
            section, key, value = match.groups()
            value = next(rest, "") if value is None else value
            spelled += ["--set", f"{section}.{key.replace('-', '_')}={value}"]
        else:
            spelled.append(argument)
    return spelled


def run() -> None:
    """Entry point of the console command."""
    sys.exit(main())
