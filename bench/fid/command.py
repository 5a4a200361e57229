"""`meanflow fid-check`: scores of a checkpoint from files, or of the stand-ins, and verdicts."""

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

import reference
from bench.fid import printing, standins
from bench.fid.check import (
    Scored,
    against_reference,
    between,
    expected_fid,
    trained_as,
    verdict,
)
from bench.fid.records import score_records
from bench.records import keep
from impls.common.config import Config
from impls.common.config_files import load_config
from impls.common.errors import UserError
from impls.fid.collection import make_features, summaries
from impls.fid.generation import Pipeline, Source, check_source, num_calls
from impls.fid.scores import frechet_score
from impls.fid.statistics import Statistics, load_statistics
from impls.files import checkpoints
from impls.files.autoencoder import read_autoencoder
from impls.files.checkpoints import CheckpointError
from impls.files.inception import LEGACY, read_inception
from impls.interop.convert import chosen_weights
from impls.interop.official_checkpoint import find_official, load_official
from results.published import one_seed
from results.schema import Settings
from verify.tolerances import rounding_tolerance


class Options(NamedTuple):
    """Files and settings of a score."""

    checkpoint: Path
    vae: Path | None
    inception: Path
    statistics: Path
    config: str  # configuration of an official checkpoint: a preset or a file
    overrides: dict[str, Any]  # of that configuration
    weights: str  # ema, params, or the decay of a stored EMA
    mode: str  # of image resizing, one of impls.files.inception.MODES
    num_samples: int
    num_steps: int | None  # network calls; as configured when None
    seed: int  # of noise and labels
    batch_size: int
    output_dir: Path  # for features and sample images; interrupted checks resume there
    record: Path | None  # folder to append records to
    checksum: bool = True  # verify the checkpoint's SHA-256


class Weights(NamedTuple):
    """Weights to score, with their configuration."""

    config: Config
    params: dict[str, Any]  # canonical
    step: int
    official: bool  # a checkpoint of the authors' code
    name: str  # which parameters these are


def check_files(subjects: Mapping[str, Any], given: Options) -> bool:
    """Score a checkpoint in every framework, print the scores beside published ones, record them.

    Args:
        subjects: framework -> implementation.

    Returns:
        False if a FID differs from the expected value, or the frameworks differ from each other, by
        more than one training seed can resolve.

    Raises:
        UserError: for a file that is missing, damaged, or does not match the others.
    """
    console, mode = Console(highlight=False), given.mode
    network = _weights(given)
    inception = read_inception(given.inception)
    statistics = load_statistics(given.statistics, inception.num_features)
    vae = read_autoencoder(given.vae) if given.vae else None
    how = inception, mode, given.num_steps, given.seed
    source = Source(network.config, network.params, vae, *how)
    check_source(source)
    printing.print_head(source, given.num_samples, network.step, network.name, console)
    if statistics.mode not in (None, mode):
        raise UserError(
            f"{given.statistics} was made with mode {statistics.mode} and the samples with {mode}:"
            " an FID of the two is meaningless"
        )
    _print_between(subjects, source, console)
    sizes = given.num_samples, given.batch_size
    scores = _scored(subjects, source, statistics, *sizes, given.output_dir, console)
    known = (network.config, network.step)
    # As every published FID of theirs: one call, their resizing, the averaged parameters.
    comparable = num_calls(source) == 1 and mode == LEGACY and given.weights == "ema"
    expected = expected_fid(*known, official=network.official) if comparable else None
    printing.print_scores(scores, expected, console)
    printing.print_published(console)
    console.print(f"features and sample images: {given.output_dir}", soft_wrap=True)
    if given.record:
        trained = trained_as(*known, official=network.official)
        about: Settings = {"training_step": network.step, "weights": network.name, **trained}
        made = score_records(scores, expected, source, given.statistics, about, subjects)
        keep(made, "fid", given.record, console)
    values = [found.fid.value for found in scores.values()]
    apart = max(values) - min(values)
    agree = apart <= one_seed() * max(values)
    if not agree:
        console.print(f"the frameworks differ by {apart:.2g}, from the same noise: see the stages")
    return agree and all(verdict(found, expected) != "differs" for found in scores.values())


def check_standins(subjects: Mapping[str, Any], record: Path | None) -> bool:
    """Score the tiny stand-ins, and compare each stage with the reference.

    Returns:
        True if every framework agrees with NumPy, and with the other, to rounding.
    """
    console, source = Console(highlight=False), standins.source()
    console.print(
        "No files are given, so stand-ins are used: a tiny checkpoint of the authors' code, and an"
        " autoencoder and an Inception with few channels and random weights. Their FID has no"
        " meaning; it must be the same in each framework and in NumPy float64.\n"
    )
    agreements = against_reference(subjects, reference, source, _allow)
    printing.print_stages(agreements, console)
    _print_between(subjects, source, console)
    statistics, expected = standins.statistics(), standins.expected()
    sizes = standins.NUM_SAMPLES, standins.BATCH_SIZE
    with tempfile.TemporaryDirectory() as folder:
        scores = _scored(subjects, source, statistics, *sizes, Path(folder), console)
    allowed = _allow(expected["float32"])
    fid = expected["fid"]
    errors = {name: abs(found.fid.value / fid - 1) for name, found in scores.items()}
    printing.print_standins(scores, errors, fid, allowed, console)
    if record:
        about: Settings = {"of": "stand-ins"}
        made = score_records(scores, None, source, standins.STATISTICS, about, subjects)
        keep(made, "fid", record, console)
    agreed = all(error <= allowed for error in errors.values())
    return agreed and all(found.passes for row in agreements.values() for found in row)


def _allow(distance: float) -> float:
    """Tolerance in float32 from NumPy's float32 error, by the rule of `verify.tolerances`."""
    return rounding_tolerance(np.float32, distance)


def _weights(given: Options) -> Weights:
    """Weights of a checkpoint of this project, or of the authors' code."""
    path, which = given.checkpoint, given.weights
    try:
        found = checkpoints.find(path, checksum=given.checksum)
    except CheckpointError:
        if (path / "about.json").exists() or (path / "checkpoints").exists():
            raise
        find_official(path)  # says what a checkpoint is, when there is none
        config = load_config(given.config, given.overrides)
        state = load_official(path, config)
        if which not in ("ema", "params"):
            raise UserError(f"--weights is {which}, expected ema or params") from None
        params, step, official = state.ema_params, state.step, True
        if which == "params":
            params = state.params
    else:
        config, params = found.config, chosen_weights(found, which)
        step, official = found.step, False
    name = f"EMA {config.training.ema_val:g}" if which == "ema" else which
    return Weights(config, params, step, official, name)


def _print_between(subjects: Mapping[str, Any], source: Source, console: Console) -> None:
    if len(subjects) == 2:
        one, other = subjects.values()
        errors, differing = between(one, other, source)
        printing.print_stages({"JAX ~ PyTorch": errors}, console, differing)


def _scored(
    subjects: Mapping[str, Any],
    source: Source,
    statistics: Statistics,
    num_samples: int,
    batch_size: int,
    folder: Path,
    console: Console,
) -> dict[str, Scored]:
    """Scores of each framework's samples, from the same noise and labels."""
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    weight, found = source.inception.tensors["output.weight"], {}
    with Progress(*columns, console=console) as progress:
        bars = {
            name: progress.add_task(printing.NAMES[name], total=num_samples) for name in subjects
        }
        for name, subject in subjects.items():
            pipeline, advance = Pipeline(subject, source), partial(progress.advance, bars[name])
            made = make_features(pipeline, folder / name, num_samples, batch_size, advance)
            groups, inception = summaries(made, weight)
            found[name] = Scored(frechet_score(groups, statistics), inception)
    return found
