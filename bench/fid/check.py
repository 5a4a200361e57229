"""FID of a checkpoint by each framework, stage by stage the same, beside what is published."""

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

COMPARED = 4  # samples that go through the stages side by side
STAGES = ("samples", "images", "features")


class Scored(NamedTuple):
    """What a framework's samples are worth."""

    fid: FrechetScore
    inception_score: InceptionScore | None  # None: of too few samples


class Agreement(NamedTuple):
    """How far one subject's stage is from another's, with the same input."""

    stage: str
    error: float  # largest difference over the largest entry, of the worst sample
    tolerance: float | None  # None: it is printed, and FID decides

    @property
    def passes(self) -> bool:
        """Whether an error is within its tolerance; a NaN is not."""
        return self.tolerance is not None and self.error <= self.tolerance


def between(one: Any, other: Any, source: Source) -> tuple[list[Agreement], float]:
    """How far two implementations are apart, each stage fed with the first one's output.

    Returns:
        The error of each stage, and the share of the pixels that differ when each goes its own way.
    """
    first, second = (_stages(Pipeline(subject, source)) for subject in (one, other))
    ours = first(None)
    theirs, alone = second(ours), second(None)
    errors = [Agreement(stage, row_error(theirs[stage], ours[stage]), None) for stage in STAGES]
    return errors, float((alone["pixels"] != ours["pixels"]).mean())


def against_reference(
    subjects: Mapping[str, Any], reference: Any, source: Source, allow: Callable[[float], float]
) -> dict[str, list[Agreement]]:
    """How far each implementation is from the float64 reference, stage by stage.

    Args:
        allow: the tolerance, from the distance of the reference in float32.
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
    """A function of the inputs of the stages, its own where there are none, to their outputs."""
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
    """The authors' FID of such a network, trained so long with such guidance, if they tell one.

    Args:
        step: steps made; 0, of parameters alone, is taken for the end of the run.
        official: whether it is a checkpoint of the authors' code.
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
    """What can be said of a FID."""
    if expected is None:
        return ""
    _, low, high, *_, num_samples = found.fid
    return fid_verdict((low, high), expected.value, num_samples, rounding(expected))


def trained_as(config: Config, step: int, *, official: bool) -> dict[str, int | str]:
    """The preset whose network and objective these are, and the epochs made; {} where none is.

    Args:
        step: steps made; 0, of an official checkpoint's parameters alone, is the end of the run.
    """
    for name in preset_names():
        preset = load_config(name)
        if _trains_as(config, preset):
            epochs = round(step * config.training.batch_size / IMAGES_PER_EPOCH)
            whole = official and not step
            return {"preset": name, "epochs": preset.training.num_epochs if whole else epochs}
    return {}


def _trains_as(config: Config, preset: Config) -> bool:
    """Whether network and objective are the same; the form of the JVP changes neither."""
    ours, theirs = (given.method.model_dump(exclude={"jvp"}) for given in (config, preset))
    return config.network == preset.network and ours == theirs
