"""Comparison of frameworks stage by stage, from noise to features, and with published FIDs."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from impls.common.config import Config
from impls.common.config_files import load_config, preset_names
from impls.fid.generation import Pipeline, Source, in_dtype, inputs
from impls.fid.moments import Array
from impls.fid.scores import FrechetScore, InceptionScore
from impls.files.pictures import to_uint8
from results.published import Published, published
from results.verdict import IMAGES_PER_EPOCH, SAME_EPOCHS, fid_verdict, rounding
from verify.compare import row_error

COMPARED = 4  # samples compared in each stage
STAGES = ("samples", "images", "features")


class Scored(NamedTuple):
    """Scores of a framework's samples."""

    fid: FrechetScore
    inception_score: InceptionScore | None  # None: too few samples


class Agreement(NamedTuple):
    """Difference between two subjects in one stage, with the same input."""

    stage: str
    error: float  # largest difference over the largest entry, of the worst sample
    tolerance: float | None  # None: it is only printed, and FID decides

    @property
    def passes(self) -> bool:
        """True if the error is within its tolerance; false for a NaN."""
        return self.tolerance is not None and self.error <= self.tolerance


def between(one: Any, other: Any, source: Source) -> tuple[list[Agreement], float]:
    """Differences between two implementations, with the first one's output as input of each stage.

    Returns:
        Differences by stage, and the share of pixels that differ when each uses its own outputs.
    """
    first, second = (_stages(Pipeline(subject, source)) for subject in (one, other))
    ours = first(None)
    theirs, alone = second(ours), second(None)
    errors = [Agreement(stage, row_error(theirs[stage], ours[stage]), None) for stage in STAGES]
    return errors, float((alone["pixels"] != ours["pixels"]).mean())


def against_reference(
    subjects: Mapping[str, Any], reference: Any, source: Source, allow: Callable[[float], float]
) -> dict[str, list[Agreement]]:
    """Differences of each implementation from the float64 reference, by stage.

    Args:
        allow: function from the error of the reference in float32 to the tolerance.
    """
    truth = _stages(Pipeline(reference, in_dtype(source, np.float64)))(None)
    rounded = _stages(Pipeline(reference, in_dtype(source, np.float32)))(truth)
    allowed = {stage: allow(row_error(rounded[stage], truth[stage])) for stage in STAGES}
    made = {name: _stages(Pipeline(subject, source))(truth) for name, subject in subjects.items()}
    return {
        name: [Agreement(s, row_error(outputs[s], truth[s]), allowed[s]) for s in STAGES]
        for name, outputs in made.items()
    }


def _stages(pipeline: Pipeline) -> Callable[[Mapping[str, Array] | None], dict[str, Array]]:
    """Function from inputs of the stages, by default its own outputs, to their outputs."""
    dtype = pipeline.source.params[next(iter(pipeline.source.params))].dtype

    def run(given: Mapping[str, Array] | None) -> dict[str, Array]:
        noise, labels = inputs(pipeline.source, range(COMPARED))
        made = {"samples": pipeline.samples(noise.astype(dtype), labels)}
        made["images"] = pipeline.images((given or made)["samples"].astype(dtype))
        made["pixels"] = to_uint8((given or made)["images"])
        made["features"] = pipeline.features(made["pixels"])
        return made

    return run


def expected_fid(config: Config, step: int, *, official: bool) -> Published | None:
    """Published FID of a network trained for so many epochs with this guidance, if there is one.

    Args:
        step: steps made; 0, for parameters alone, means the end of the run.
        official: True for a checkpoint of the authors' code.
    """
    epochs = step * config.training.batch_size / IMAGES_PER_EPOCH
    rows = published("official_readme")
    for row in (*published("published_checkpoint"), *rows) if official else rows:
        long = row.epochs or 0
        if _trains_as(config, load_config(str(row.preset))) and (
            abs(epochs / long - 1) < SAME_EPOCHS or (official and not step)
        ):
            return row
    return None


def verdict(found: Scored, expected: Published | None) -> str:
    """Verdict on a FID, beside the expected one."""
    if expected is None:
        return ""
    _, low, high, *_, num_samples = found.fid
    return fid_verdict((low, high), expected.value, num_samples, rounding(expected))


def trained_as(config: Config, step: int, *, official: bool) -> dict[str, int | str]:
    """Preset with the same network and objective, and the number of epochs; {} if there is none.

    Args:
        step: steps made; 0, for an official checkpoint's parameters alone, means the end of the
            run.
    """
    for name in preset_names():
        preset = load_config(name)
        if _trains_as(config, preset):
            epochs = round(step * config.training.batch_size / IMAGES_PER_EPOCH)
            whole = official and not step
            return {"preset": name, "epochs": preset.training.num_epochs if whole else epochs}
    return {}


def _trains_as(config: Config, preset: Config) -> bool:
    """True if network and objective are the same; the form of the JVP changes neither."""
    ours, theirs = (given.method.model_dump(exclude={"jvp"}) for given in (config, preset))
    return config.network == preset.network and ours == theirs
