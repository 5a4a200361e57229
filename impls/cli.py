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
    # … and XLA would spend minutes on making them fast.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

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
    device: str = "auto",
    override: Annotated[UseAppendAction[tuple[str, ...]], arg(name="set")] = (),
) -> int:
    """Train, or go on from the newest checkpoint of the run's folder; then print the scores.

    Any key of the configuration is an option too: --training.num-steps 200.

    Args:
        framework: jax or torch.
        workdir: folder of the run: checkpoints, TensorBoard, configuration.
        config: a preset's name or a YAML file.
        device: auto (a GPU or TPU where there is one), cpu, cuda, …
        override: SECTION.KEY=VALUE, laid over the configuration; may be repeated.
    """
    from impls.common import checkpoints
    from impls.common.config_files import load_config
    from impls.convert import implementation
    from impls.train import train as run_training

    loaded = load_config(config, dict(map(_assignment, override)))
    module = implementation(framework)
    module.select_device(device)
    if loaded.eval_only:
        if loaded.load_from is None:
            raise UserError("eval_only is true, but load_from names no checkpoint to evaluate")
        checkpoint = checkpoints.find(Path(loaded.load_from))
        _print_scores(checkpoint, framework, 1000, None, 0)
        return 0
    ending = run_training(module, framework, loaded, workdir)
    if loaded.dataset.name == "digits" and ending.finished:
        _print_scores(ending.checkpoint, framework, 1000, None, 0)
    return 0


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
    from impls.common import checkpoints
    from impls.convert import implementation
    from impls.generate import generate, write_samples

    _check_count("--num-samples", num_samples)
    _check_count("--num-steps", num_steps)
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
    """
    from impls.common import checkpoints
    from impls.convert import implementation

    _check_count("--num-samples", num_samples, least=100)
    _check_count("--num-steps", num_steps)
    _check_writable(None, record)
    found = checkpoints.find(checkpoint)
    made_by: str = framework or found.framework
    implementation(made_by).select_device(device)
    _print_scores(found, made_by, num_samples, num_steps, seed, weights, record)
    return 0


@app.command(name="convert")
def convert(
    *,
    checkpoint: Path | None = None,
    from_official: Path | None = None,
    config: str = "mf_b4",
    override: Annotated[UseAppendAction[tuple[str, ...]], arg(name="set")] = (),
    framework: Literal["jax", "torch"] | None = None,
    output: Path | None = None,
    safetensors: Path | None = None,
    weights: str = "ema",
) -> int:
    """Carry a checkpoint to the other framework, bit for bit, or write its plain weights.

    Args:
        checkpoint: a run's folder, or that of one of its checkpoints.
        from_official: instead of it a checkpoint of the authors' code, or a folder that holds one.
        config: of the official checkpoint: a preset's name or a YAML file.
        override: SECTION.KEY=VALUE, laid over that configuration; may be repeated.
        framework: whose checkpoint to write.
        output: folder of a run to write it to, which can be resumed there.
        safetensors: file to write plain weights to, under the names of facebookresearch/DiT.
        weights: of that file: ema, params (no average), or the decay of an average that was kept.
    """
    from impls import convert as converting
    from impls.common import checkpoints
    from impls.common.config_files import load_config

    if (framework is None) != (output is None):
        raise UserError("--framework and --output belong together: give both, or --safetensors")
    if (checkpoint is None) == (from_official is None):
        raise UserError("give either --checkpoint or --from-official")
    if output is None and (safetensors is None or from_official is not None):
        raise UserError("nothing to write: give --framework and --output, or --safetensors")
    if checkpoint is not None:
        found = checkpoints.find(checkpoint)
        if framework is not None and output is not None:
            print(f"wrote {converting.convert(found, framework, output).path}")
    elif from_official is not None and framework is not None and output is not None:
        loaded = load_config(config, dict(map(_assignment, override)))
        found = converting.import_official(from_official, loaded, framework, output)
        print(f"wrote {found.path}")
    if safetensors is not None:
        converting.write_safetensors(found, weights, safetensors)
        print(f"wrote {safetensors}")
    return 0


@app.command(name="bench")
def bench(
    names: Positional[tuple[Literal["jvp-overhead", "throughput", "sampling", "attention"], ...]],
    /,
    *,
    framework: Literal["jax", "torch"],
    device: str = "auto",
    config: str | None = None,
    rounds: int = 7,
    against: str | None = None,
    forms: tuple[str, ...] = (),
    models: tuple[str, ...] = (),
    batch_sizes: tuple[int, ...] = (),
    json: Path | None = None,
    record: Path | None = None,
    override: Annotated[UseAppendAction[tuple[str, ...]], arg(name="set")] = (),
) -> int:
    """Measure what the JVP costs, throughput, sampling, or the overhead by number of tokens.

    A small network (DiT_S_4) and batch (32) of mf_b4 where no --config is given. Any key of the
    configuration is an option too: --model.cls DiT_B_4 --training.batch-size 64.

    Args:
        names: jvp-overhead, throughput, sampling, attention; one or more.
        framework: jax or torch.
        device: auto (a GPU or TPU where there is one), cpu, cuda, …
        config: a preset's name or a YAML file, which then says network and batch.
        rounds: times that each step is made, in turns with the others.
        against: official=PATH times the authors' step of a checkout too (jvp-overhead, jax).
        forms: of jvp-overhead, such as "unguided sparse"; all of them by default.
        models: sizes of the network, for throughput.
        batch_sizes: for throughput.
        json: file to write the times to, in the format of pytest-benchmark.
        record: folder to append records of every number to.
        override: SECTION.KEY=VALUE, laid over the configuration; may be repeated.
    """
    from bench.command import measure
    from impls.convert import implementation

    os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # PyTorch's profiler says when it starts
    _check_count("--rounds", rounds)
    for batch_size in batch_sizes:
        _check_count("--batch-sizes", batch_size)
    _check_writable(json, record)
    module, overrides = implementation(framework), dict(map(_assignment, override))
    module.select_device(device)
    measure(
        names, module, framework, config, overrides, rounds,
        against, forms, models, batch_sizes, json, record,
    )  # fmt: skip
    return 0


@app.command(name="tables")
def tables(*, check: bool = False) -> int:
    """Write every table of results/tables and of the README anew, from the records.

    Args:
        check: write nothing; exit with status 1 if a table differs from what the records make.
    """
    from results.tables import write_tables

    changed = write_tables(write=not check)
    for path in changed:
        print(f"{'differs' if check else 'wrote'}: {path}")
    return 1 if check and changed else 0


@app.command(name="prepare")
def prepare(
    action: Positional[Literal["pack"]],
    /,
    *,
    input: Path,  # noqa: A002  the name of the option
    output: Path,
    shard_size: int = 8192,
    half: bool = False,
) -> int:
    """Pack latents, one .pt file each, into memory-mapped shards, which are read much faster.

    Args:
        action: pack.
        input: folder of .pt files, or with them in its folder train.
        output: folder to write the shards to; a packing that was stopped goes on.
        shard_size: latents in each shard.
        half: store float16, which halves the size and rounds.
    """
    from impls.prepare import pack

    del action  # the only one there is
    _check_count("--shard-size", shard_size)
    packed = pack(input, output, shard_size, half=half)
    print(f"packed {sum(packed.counts)} latents into {len(packed.counts)} shards in {output}")
    return 0


def _print_scores(
    checkpoint: Any,
    framework: str,
    num_samples: int,
    num_steps: int | None,
    seed: int,
    weights: str = "ema",
    record: Path | None = None,
) -> None:
    from rich.console import Console
    from rich.table import Table

    from impls.common.solver import sampling_times
    from impls.generate import check_scored, generate, score_records, scores
    from results.schema import append

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
        path = record / f"digits-{records[0].date[:10]}.jsonl"
        append(records, path)
        console.print(f"records appended to {path}", soft_wrap=True)


def _check_count(option: str, value: int | None, least: int = 1) -> None:
    if value is not None and value < least:
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
