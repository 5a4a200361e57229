"""Log of a run: scalars, sample grids, effective configuration, printed progress."""

import json
import math
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from impls.common.config import Config
from impls.common.config_files import effective_yaml
from impls.common.environment import environment
from impls.common.parameters import num_parameters
from impls.files.pictures import png
from impls.files.writing import append_whole, writable, write_whole
from impls.trainer.events import EventFile


class RunLog:
    """Log of one run, written into its folder.

    The scalars of a step are means since the last logged step, not otherwise smoothed. A terminal
    shows a progress bar, anything else gets a line for each logged step.
    """

    def __init__(
        self, workdir: Path, config: Config, where: str, num_steps: int, start: int
    ) -> None:
        """Write the configuration, and remove lines of an earlier run about steps from `start` on.

        Args:
            where: framework and device, for the first line.
            start: steps made before.

        Raises:
            UserError: when the files cannot be written.
        """
        self._workdir, self._scalars = workdir, workdir / "scalars.jsonl"
        about = json.dumps(environment(), indent=1)
        with writable(self._workdir):
            workdir.mkdir(parents=True, exist_ok=True)
            write_whole(workdir / "config.yml", effective_yaml(config).encode())
            write_whole(workdir / "environment.json", f"{about}\n".encode())
            _keep_steps(self._scalars, start)
            self._events = EventFile(workdir / "tensorboard", start)
        self.console = Console(highlight=False)
        self._live = self.console.is_interactive or self.console.is_jupyter
        size = f"{num_parameters(config.network):,} parameters"
        self._say(f"{workdir}: {where}, {size}, steps {start} to {num_steps}")
        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self._live,
        )
        self._task = self._progress.add_task("", total=num_steps, completed=start, text="")
        self._begun = self._clock = time.perf_counter()
        self._last, self._num_steps = start, num_steps
        self._waited = self._waited_in_all = 0.0

    def __enter__(self) -> Self:
        """Show the progress bar."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the progress bar."""
        self._progress.stop()

    def waited(self, seconds: float) -> None:
        """Count time in which the loop waited for data."""
        self._waited += seconds
        self._waited_in_all += seconds

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log scalars after `step` steps, with steps per second and the share spent on data."""
        spent = time.perf_counter() - self._clock
        rate = (step - self._last) / spent
        values = {**values, "steps_per_second": rate, "data_wait_share": self._waited / spent}
        self._clock, self._last, self._waited = time.perf_counter(), step, 0.0
        with writable(self._workdir):
            self._events.scalars(step, values)
            append_whole(self._scalars, f"{json.dumps({'step': step, **values})}\n".encode())
        text = f"{rate:.1f}/s loss {values['loss']:.4f} v_loss {values['v_loss']:.2f}"
        self._progress.update(self._task, completed=step, text=text)
        if not self._live:
            left = timedelta(seconds=round((self._num_steps - step) / rate))
            self._say(f"step {step} of {self._num_steps}: {text}, {left} left")

    def picture(self, step: int, grid: NDArray[np.uint8]) -> None:
        """Log a sample grid, [height, width, 3] uint8, also written to samples/step_N.png."""
        content, file = png(grid), self._workdir / "samples" / f"step_{step}.png"
        with writable(self._workdir):
            file.parent.mkdir(exist_ok=True)
            write_whole(file, content)
            self._events.picture(step, "samples", (grid.shape[0], grid.shape[1]), content)

    def close(self, step: int) -> None:
        """Print the last step, the time of the run and the share spent waiting for data."""
        self._progress.update(self._task, completed=step)
        spent = time.perf_counter() - self._begun
        end = "finished" if step >= self._num_steps else "stopped"
        share = 100 * self._waited_in_all / spent
        text = f"{end} at step {step} of {self._num_steps}: {spent:.0f} seconds"
        self._say(f"{text}, {share:.1f} % of them waiting for data")

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)


def _keep_steps(log: Path, last: int) -> None:
    """Remove lines of a log after a step, which a resumed run writes again, and partial lines."""
    if not log.is_file():
        return
    lines = log.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if line.endswith(b"\n") and _step_of(line) <= last]
    if not kept:
        log.unlink()
    elif kept != lines:
        write_whole(log, *kept)


def _step_of(line: bytes) -> float:
    """Step of a line of the log; infinity for an invalid line."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, LookupError):
        return math.inf
