"""Training loop, the same for both frameworks: it calls functions of the protocol."""

import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from impls.common.config import Config
from impls.common.draws import sampling_noise, training_draws
from impls.common.errors import Notice, UserError
from impls.common.parameters import finite_names
from impls.common.paths import expanded
from impls.common.timesteps import sampling_times
from impls.common.types import Batch
from impls.data import batches, source, steps_per_epoch
from impls.files import checkpoints
from impls.files.checkpoints import Checkpoint
from impls.files.locks import locked
from impls.files.pictures import labelled_grid
from impls.interop.convert import canonical_state
from impls.trainer.run_log import RunLog

COLUMNS, ROWS = 10, 6  # of a sample grid: the first classes, and samples of each
SIDE = 64  # pixels that small samples are enlarged to


class TrainingError(UserError):
    """Training that cannot start or continue; the message is one sentence for the user."""


class NotFiniteError(TrainingError):
    """Number of the run that is not finite."""


class Ending(NamedTuple):
    """End of a run."""

    checkpoint: Checkpoint  # the last one
    finished: bool  # all steps are made: no signal ended the run before
    signal: int = 0  # the one that ended it; 0 where none came


def train(
    implementation: Any, framework: str, config: Config, workdir: Path, *, checksum: bool = True
) -> Ending:
    """Train to the configured number of steps, from the newest checkpoint if there is one.

    Every batch and every draw is a function of (seed, step), so an interrupted and resumed run is
    bit-equal to an uninterrupted one.

    Args:
        checksum: verify the SHA-256 of the checkpoint that is resumed.

    Returns:
        The last checkpoint, and whether all steps are made: SIGINT and SIGTERM end the loop early,
        with a checkpoint saved.

    Raises:
        UserError: when a number is not finite, data cannot be read, a file cannot be written, or
            another process trains in the folder; earlier checkpoints are kept.
    """
    examples = source(config)
    with locked(workdir) as check_folder:
        return _train(implementation, framework, config, workdir, examples, check_folder, checksum)


def _train(
    implementation: Any,
    framework: str,
    config: Config,
    workdir: Path,
    examples: Any,
    check_folder: Callable[[], None],
    checksum: bool,
) -> Ending:
    """Train in a locked folder; `check_folder` raises when the folder was removed."""
    per_epoch = steps_per_epoch(config, len(examples))
    num_steps = num_training_steps(config, len(examples))
    state, start = _begin(implementation, framework, config, workdir, checksum)
    if start > num_steps:
        last = checkpoints.newest(workdir, checksum=checksum)
        if last is None:
            raise TrainingError(
                f"load_from is a checkpoint of step {start}, beyond the {num_steps} steps:"
                " raise training.num_steps"
            )
        told = f"{workdir} holds a run of {start} steps, more than the {num_steps} asked for"
        warnings.warn(Notice(f"{told}: nothing to do"), stacklevel=3)
        return Ending(last, finished=True)
    step_function = implementation.compile_step(config)
    data = batches(config, examples, start)
    meter = _Meter(implementation, config)

    def due(epochs: int) -> bool:
        return step % (per_epoch * epochs) == 0

    def save() -> None:
        meter.read()  # nothing is saved that is not finite
        check_folder()
        checkpoints.write(
            workdir, framework, step, config,
            lambda path: implementation.save_checkpoint(path, state),
        )  # fmt: skip

    where = f"{framework} on {implementation.device_name()}"
    with RunLog(workdir, config, where, num_steps, start) as log, _signals() as received:
        step = start
        while step < num_steps and not received:
            clock = time.perf_counter()
            batch = next(data)
            log.waited(time.perf_counter() - clock)
            inputs = implementation.put(batch), _draws(implementation, config, step)
            state, metrics = step_function(state, *inputs)
            step += 1
            meter.add(step, metrics)
            if step % config.training.log_per_step == 0 or step == num_steps:
                check_folder()
                log.scalars(step, meter.means())
            if config.training.sample_on_training and due(config.training.sample_per_epoch):
                log.picture(step, _samples(implementation, config, state))
            if due(config.training.checkpoint_per_epoch) and step < num_steps:
                save()
        saved = checkpoints.newest(workdir, checksum=checksum)
        if saved is None or saved.step != step:  # else complete: rewriting could lose it
            save()
        log.close(step)
    last = checkpoints.find(workdir, checksum=checksum)
    return Ending(last, step >= num_steps, received[0] if received else 0)


def num_training_steps(config: Config, num_examples: int) -> int:
    """Number of steps of a complete run of a configuration."""
    num_steps: int | None = config.training.num_steps
    return num_steps or steps_per_epoch(config, num_examples) * config.training.num_epochs


def _draws(implementation: Any, config: Config, step: int) -> Any:
    if config.training.draws == "device":
        return implementation.device_draws(config, step)
    return implementation.put(training_draws(config, config.training.seed, step))


def _begin(
    implementation: Any, framework: str, config: Config, workdir: Path, checksum: bool
) -> tuple[Any, int]:
    """Training state to start from, and the number of steps already made."""
    found = checkpoints.newest(workdir, checksum=checksum)
    if found is None and config.load_from is not None:
        found = checkpoints.find(expanded(config.load_from), checksum=checksum)
        canonical = canonical_state(found, config)
        return implementation.load_state(config, canonical), found.step
    if found is None:
        params = implementation.init_params(config, config.training.seed)
        return implementation.init_state(config, params), 0
    if found.framework != framework:
        raise TrainingError(
            f"{workdir} holds a run of {found.framework}: resume it with --framework"
            f" {found.framework}, convert it with meanflow convert, or give another --workdir"
        )
    before, now = must_match_to_resume(found.config), must_match_to_resume(config)
    for key, value in now.items():
        if value != before.get(key):
            raise TrainingError(
                f"{key} is {value}, but {before.get(key)} in the run in {workdir}:"
                " resume with its config.yml, or give another --workdir"
            )
    restore = implementation.restore_checkpoint
    return checkpoints.restore(found, restore, config), found.step


def must_match_to_resume(config: Config) -> dict[str, Any]:
    """Settings that must match to resume, by dotted key: all but lengths, intervals and paths."""
    plain: dict[str, Any] = config.model_dump(exclude={"sampling", "fid", "load_from", "eval_only"})
    free = {"num_steps", "num_epochs", "keep_checkpoints", "sample_on_training", "compile"}
    if config.training.schedule == "cosine" and config.training.cycle_steps is None:
        free.remove("num_steps")  # the cycle's length
    free |= {"root", "num_workers", "prefetch_factor"}
    return {
        f"{section}.{key}": value
        for section, keys in plain.items()
        for key, value in keys.items()
        if key not in free and "_per_" not in key
    }


class _Meter:
    """Means of the steps' metrics, each read while the next step is already running."""

    def __init__(self, implementation: Any, config: Config) -> None:
        self._get, self._finite_names = implementation.get, finite_names(config.network)
        self._pending: tuple[int, Any] | None = None
        self._reports: list[dict[str, float]] = []

    def add(self, step: int, metrics: Any) -> None:
        """Take the metrics of a step, and read those of the step before."""
        self.read()
        self._pending = (step, metrics)

    def read(self) -> None:
        """Read the metrics that are still on the device.

        Raises:
            NotFiniteError: naming the step and the first array with an entry that is not finite.
        """
        if self._pending is None:
            return
        step, metrics = self._pending[0], self._get(self._pending[1])
        self._pending = None
        if not metrics.finite.all():
            name = self._finite_names[int(np.argmin(metrics.finite))]
            advice = "try a lower training.learning_rate, or training.max_grad_norm"
            if name in Batch._fields:
                advice = "look at the data"
            raise NotFiniteError(
                f"{name} is not finite at step {step}: the checkpoints before it are kept; {advice}"
            )
        report = metrics._asdict().items()
        self._reports.append({name: float(value) for name, value in report if name != "finite"})

    def means(self) -> dict[str, float]:
        """Mean of each quantity over the steps since the last call."""
        self.read()
        reports, self._reports = self._reports, []
        return {name: float(np.mean([r[name] for r in reports])) for name in reports[0]}


def _samples(implementation: Any, config: Config, state: Any) -> np.ndarray:
    """Grid of samples of the EMA, a column for each of the first classes."""
    classes = np.arange(min(config.network.num_classes, COLUMNS), dtype=np.int32)
    labels = np.tile(classes, ROWS)
    noise = sampling_noise(config, config.sampling.seed, range(len(labels)))
    inputs = implementation.put((noise, labels))
    images = implementation.sample(config, state.ema_params, *inputs, sampling_times(config))
    scale = max(SIDE // config.network.input_size, 1)
    return labelled_grid(implementation.get(images)[..., :3], classes, scale)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Context with a list of received SIGINT and SIGTERM: the loop ends after the current step."""
    received: list[int] = []

    def receive(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
