"""What a run leaves behind: scalars and pictures for TensorBoard, a progress line, its settings."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from impls.common.config import Config
from impls.common.config_files import effective_yaml
from impls.common.environment import environment
from impls.files.writing import writable


class RunLog:
    """The log of one run, written into its folder.

    `scalars` smooths nothing: what is logged at a step is the mean since the last logged step.
    """

    def __init__(self, workdir: Path, config: Config, num_steps: int, start: int) -> None:
        from tensorboardX import SummaryWriter  # here, because it loads torch where installed

        self._workdir = workdir
        about = json.dumps(environment(), indent=1)
        with writable(self._workdir):
            workdir.mkdir(parents=True, exist_ok=True)
            (workdir / "config.yml").write_text(effective_yaml(config), encoding="utf-8")
            (workdir / "environment.json").write_text(about + "\n", encoding="utf-8")
            self._writer = SummaryWriter(str(workdir / "tensorboard"))
            self._lines = (workdir / "scalars.jsonl").open("a", encoding="utf-8")
        self.console = Console(highlight=False)
        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self._task = self._progress.add_task("", total=num_steps, completed=start, text="")
        self._begun = self._clock = time.perf_counter()
        self._last, self._num_steps = start, num_steps
        self._waited = self._waited_in_all = 0.0

    def __enter__(self) -> Self:
        """Show the progress line."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self._progress.stop()
        self._writer.close()
        self._lines.close()

    def waited(self, seconds: float) -> None:
        """Count time in which the loop had no data to work on."""
        self._waited += seconds
        self._waited_in_all += seconds

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log scalars after `step` steps, with steps per second and the share spent on data."""
        spent = time.perf_counter() - self._clock
        rate = (step - self._last) / spent
        values = {**values, "steps_per_second": rate, "data_wait_share": self._waited / spent}
        self._clock, self._last, self._waited = time.perf_counter(), step, 0.0
        with writable(self._workdir):
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            self._lines.write(json.dumps({"step": step, **values}) + "\n")
            self._lines.flush()
        text = f"{rate:.1f}/s loss {values['loss']:.4f} v_loss {values['v_loss']:.2f}"
        self._progress.update(self._task, completed=step, text=text)

    def picture(self, step: int, grid: NDArray[np.uint8]) -> None:
        """Log a picture: [height, width, 3] uint8."""
        with writable(self._workdir):
            self._writer.add_image("samples", grid, step, dataformats="HWC")

    def close(self, step: int) -> None:
        """Print how far the run came, how long it took and how much of that it waited for data."""
        self._progress.update(self._task, completed=step)
        spent = time.perf_counter() - self._begun
        end = "finished" if step >= self._num_steps else "stopped"
        share = 100 * self._waited_in_all / spent
        text = f"{end} at step {step} of {self._num_steps}: {spent:.0f} seconds"
        self.console.print(f"{text}, {share:.1f} % of them waiting for data", markup=False)
