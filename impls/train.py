"""The training loop, the same for both frameworks: it only calls named steps of the protocol."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from impls.common import checkpoints
from impls.common.checkpoints import Checkpoint
from impls.common.config import Config
from impls.common.data import batches, source, steps_per_epoch
from impls.common.draws import sampling_noise, training_draws
from impls.common.errors import UserError
from impls.common.runlog import RunLog, picture_grid

GRID = 64  # samples in a picture


class TrainingError(UserError):
    """Training that cannot go on; the message is one sentence for the user."""


def train(implementation: Any, framework: str, config: Config, workdir: Path) -> Checkpoint:
    """Train to the configured number of steps, from the newest checkpoint if there is one.

    Every batch and every draw is a function of (seed, step), so a run that was stopped and resumed
    ends with the same bits as one that was not.

    Returns:
        The last checkpoint. SIGINT and SIGTERM save one and end the loop early.

    Raises:
        TrainingError: when the loss stops being a number; the checkpoints before it stay.
    """
    examples = source(config)
    per_epoch = steps_per_epoch(config, len(examples))
    num_steps = config.training.num_steps or per_epoch * config.training.num_epochs
    state, start = _begin(implementation, framework, config, workdir)
    step_function = implementation.compile_step(config)
    data = batches(config, examples, start)
    totals, count, waited = np.zeros(2), 0, 0.0

    def save(step: int) -> None:
        checkpoints.write(
            workdir, framework, step, config,
            lambda path: implementation.save_checkpoint(path, state),
        )  # fmt: skip

    with RunLog(workdir, config, num_steps, start) as log, _signals() as stop:
        step = start
        while step < num_steps and not stop:
            clock = time.perf_counter()
            batch = next(data)
            waited += time.perf_counter() - clock
            draws = training_draws(config, config.training.seed, step)
            inputs = implementation.put((batch, draws))
            state, metrics = step_function(state, *inputs)
            step += 1
            totals, count = totals + _check(implementation.get(metrics), step), count + 1
            if step % config.training.log_per_step == 0 or step == num_steps:
                loss, v_loss = totals / count
                log.scalars(step, {"loss": loss, "v_loss": v_loss}, waited)
                totals, count, waited = np.zeros(2), 0, 0.0
            epoch, is_end = divmod(step, per_epoch)[0], step % per_epoch == 0
            if is_end and epoch % config.training.sample_per_epoch == 0:
                log.picture(step, _samples(implementation, config, state))
            if is_end and epoch % config.training.checkpoint_per_epoch == 0:
                save(step)
        save(step)
        log.note(f"{'stopped' if step < num_steps else 'finished'} at step {step} of {num_steps}")
    saved = checkpoints.newest(workdir)
    assert saved is not None
    return saved


def _begin(implementation: Any, framework: str, config: Config, workdir: Path) -> tuple[Any, int]:
    """The state to start from, and the steps already made."""
    found = checkpoints.newest(workdir)
    if found is None:
        params = implementation.init_params(config, config.training.seed)
        return implementation.init_state(config, params), 0
    if found.framework != framework:
        raise TrainingError(
            f"{workdir} holds a run of {found.framework}: resume it with --framework"
            f" {found.framework}, or give another --workdir"
        )
    if _identity(found.config) != _identity(config):
        raise TrainingError(
            f"the configuration differs from that of the run in {workdir} (see its config.yml):"
            " resume with the same one, or give another --workdir"
        )
    return implementation.restore_checkpoint(found.state, config), found.step


def _identity(config: Config) -> dict[str, Any]:
    """What must not change on resume: everything but how long, how often and where."""
    plain: dict[str, Any] = config.model_dump(exclude={"sampling", "fid", "load_from", "eval_only"})
    rhythm = {"num_steps", "num_epochs", "keep_checkpoints", "sample_on_training"}
    keys = {key for key in plain["training"] if key in rhythm or "_per_" in key}
    for key in keys:
        del plain["training"][key]
    for key in ("root", "num_workers", "prefetch_factor", "pin_memory", "cache"):
        del plain["dataset"][key]
    return plain


def _check(metrics: Any, step: int) -> np.ndarray:
    """Loss and v_loss as numbers; the run ends when one is not finite."""
    loss, v_loss = float(metrics.loss), float(metrics.v_loss)
    for name, value in (("loss", loss), ("v_loss", v_loss)):
        if not math.isfinite(value):
            raise TrainingError(
                f"{name} became {value} at step {step}: the checkpoints before it are kept;"
                " try a lower training.learning_rate"
            )
    return np.array([loss, v_loss])


def _samples(implementation: Any, config: Config, state: Any) -> np.ndarray:
    """A picture of one-step samples of the moving average, labels in turn."""
    noise = sampling_noise(config, config.sampling.seed, range(GRID))
    labels = np.arange(GRID, dtype=np.int32) % config.network.num_classes
    inputs = implementation.put((noise, labels))
    images = implementation.sample(config, state.ema_params, *inputs, (1.0, 0.0))
    return picture_grid(implementation.get(images)[..., :3], scale=4)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that fills when SIGINT or SIGTERM arrives: the loop ends after the step at hand."""
    received: list[int] = []

    def receive(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
