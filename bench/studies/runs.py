"""Records of a training run: scores, seconds, loss curves."""

import json
from itertools import pairwise
from typing import Any

import numpy as np

from bench.records import provenance
from impls.common.config import Config, DatasetConfig
from impls.common.config_files import config_hash, load_config, preset_names
from impls.fid.small_images import DATA_SETS, Score, split
from impls.files.checkpoints import Checkpoint
from impls.trainer.train import must_match_to_resume
from results.schema import Record, Settings

CURVES = ("loss", "v_loss")
POINTS = 30  # of a curve, at most
REAL = "real "  # how the subject of a score of real images begins; the data set follows
NO_PRESET = "none"  # preset of a run that matches none, such as digits with other settings


def score_records(
    checkpoint: Checkpoint,
    framework: str,
    found: dict[str, tuple[Score, Score]],
    settings: Settings,
) -> list[Record]:
    """Records of each score, of its value for real images, and of the seconds of training."""
    data = checkpoint.config.dataset
    trained: Settings = {"training_step": checkpoint.step}
    settings = _run(checkpoint.config) | trained | settings
    about = _about(checkpoint.config, framework)
    records = [
        Record(
            **{**about, "subject": of},
            what=_what(data, name),
            value=score.value,
            unit="1",
            interval=(score.low, score.high),
            settings=given,
        )
        for name, (ours, real) in found.items()
        for of, given, score in (
            (about["subject"], settings, ours),
            (f"{REAL}{data.kind}", _of_real(data), real),
        )
    ]
    seconds = _training_seconds(checkpoint)
    if seconds is not None:
        taken: dict[str, Any] = {"what": "train/seconds", "value": seconds, "unit": "seconds"}
        records.append(Record(**about, **taken, settings=settings))
    return records


def curve_records(checkpoint: Checkpoint, framework: str) -> list[Record]:
    """Records of a run's loss curves, each point the mean since the one before.

    Returns:
        At most POINTS records for each of CURVES; none if the log of the run has gaps.
    """
    lines = _scalars(checkpoint)
    about, run = _about(checkpoint.config, framework), _run(checkpoint.config)
    parts = np.array_split(np.arange(len(lines)), min(POINTS, max(len(lines), 1)))
    return [
        Record(
            what=f"train/{name}",
            value=float(np.mean([lines[i][name] for i in part])),
            unit="1",
            settings={**run, "training_step": int(lines[part[-1]]["step"])},
            **about,
        )
        for name in CURVES
        for part in parts
        if len(part)
    ]


def failed_record(config: Config, framework: str, reason: str) -> Record:
    """Record of a run without a score, with the reason in words."""
    return Record(
        what=_what(config.dataset, f"{DATA_SETS[config.dataset.kind].title} Fréchet distance"),
        value=None,
        unit="1",
        settings=_run(config) | {"num_steps": 1},
        detail=reason,
        **_about(config, framework),
    )


def preset_of(config: Config) -> str | None:
    """Preset whose settings this run has, whatever its seed."""
    steps, settings = config.training.num_steps, must_match_to_resume(config)
    for name in preset_names():
        preset = load_config(name, {"training.seed": config.training.seed})
        if preset.training.num_steps == steps and must_match_to_resume(preset) == settings:
            return name
    return None


def _what(data: DatasetConfig, score: str) -> str:
    """Quantity of a record: the name of a score, with that of the data set for its title."""
    name = score.replace(DATA_SETS[data.kind].title, data.kind)
    return f"evaluate/{name.replace(' ', '_').replace('é', 'e')}"


def _run(config: Config) -> Settings:
    preset, seed = preset_of(config) or NO_PRESET, config.training.seed
    return {"preset": preset, "training_seed": seed, **_num_images(config.dataset)}


def _num_images(data: DatasetConfig) -> Settings:
    """Number of training images, where a copy of the data set may hold fewer than its publisher's.

    Nothing for a data set without scores.
    """
    kind = DATA_SETS.get(data.kind)
    if not kind or not kind.num_published:
        return {}
    return {"num_images": len(split(data, held_out=False).labels)}


def _of_real(data: DatasetConfig) -> Settings:
    """Settings of a score of real images; none for digits, as in records of when it was alone."""
    number = _num_images(data)
    return {"dataset": data.kind, **number} if number else {}


def _about(config: Config, framework: str) -> dict[str, Any]:
    return {
        "subject": f"impls.meanflow_{framework}",
        "dtype": "float32",
        "config_hash": config_hash(config),
        **provenance(),
    }


def _scalars(checkpoint: Checkpoint) -> list[dict[str, float]]:
    """Logged scalars of a run that ended at this checkpoint; none if the log has gaps."""
    log = checkpoint.path.parent.parent / "scalars.jsonl"
    if not log.is_file():
        return []
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    steps = [0, *(line["step"] for line in lines)]
    whole = steps[-1] == checkpoint.step and all(a < b for a, b in pairwise(steps))
    return lines if whole else []


def _training_seconds(checkpoint: Checkpoint) -> float | None:
    """Seconds in the training loop, compilation included."""
    lines = _scalars(checkpoint)
    steps = pairwise([0, *(line["step"] for line in lines)])
    spent = [(b - a) / line["steps_per_second"] for (a, b), line in zip(steps, lines, strict=True)]
    return float(sum(spent)) if lines else None
