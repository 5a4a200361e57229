"""What a run leaves behind: scalars and pictures for TensorBoard, a progress line, its settings."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from impls.common.config import Config
from impls.common.config_files import effective_yaml
from impls.common.environment import environment
from impls.common.writing import writable

LINE = 96  # grey between the images of a picture


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

    def __enter__(self) -> RunLog:
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


def to_uint8(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Pixels of images in -1..1, as the official evaluation: clip(127.5 x + 128) truncated."""
    return np.clip(127.5 * images + 128, 0, 255).astype(np.uint8)


def picture_grid(images: NDArray[Any], columns: int = 0, scale: int = 1) -> NDArray[np.uint8]:
    """One picture of many: images [n, height, width, 1 or 3] in -1..1 -> [H, W, 3] uint8.

    Args:
        columns: images in a row; as near to a square as can be when 0.
        scale: each pixel becomes scale x scale.

    A grey line below and right of each image, half as wide as its pixels, keeps it apart.
    """
    pixels = to_uint8(images).repeat(scale, 1).repeat(scale, 2)
    line = (0, max(scale // 2, 1))
    pixels = np.pad(pixels, ((0, 0), line, line, (0, 0)), constant_values=LINE)
    columns = columns or math.ceil(math.sqrt(len(pixels)))
    rows = math.ceil(len(pixels) / columns)
    blank = np.full((rows * columns - len(pixels), *pixels.shape[1:]), LINE, np.uint8)
    cells = np.concatenate([pixels, blank]).reshape(rows, columns, *pixels.shape[1:])
    grid = cells.transpose(0, 2, 1, 3, 4).reshape(rows * pixels.shape[1], -1, pixels.shape[3])
    return np.broadcast_to(grid, (*grid.shape[:2], 3)) if grid.shape[2] == 1 else grid
