"""The paper's ablations on digits: the presets of ablation/, trained and scored with several seeds.

Interrupted runs resume, and runs whose scores are recorded are skipped.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from bench.studies.runs import REAL, curve_records, failed_record, score_records
from impls.common.config import Config
from impls.common.config_files import load_config, preset_names
from impls.files.pictures import picture_grid, write_png
from impls.files.writing import writable
from impls.frameworks import implementation
from impls.trainer.generate import generate, scores
from impls.trainer.train import NotFiniteError, train
from results.schema import Record, append, record_file
from results.tabulate.ablations import DEFAULT, SCORED

PRESETS = tuple(name for name in preset_names() if name.startswith("ablation/"))
FRAMEWORKS = ("jax", "torch")
RECORDED = "scored"  # file in the folder of a run that names where its scores are recorded
# One thread for each of the processes that run side by side; JAX compiles for one seed of a preset.
ALONE = {
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def study(
    framework: str,
    presets: Sequence[str],
    seeds: Sequence[int],
    workdir: Path,
    record: Path | None,
    samples: Path | None,
) -> Iterator[str]:
    """Train and score every preset with every seed; yields a line of text for each run.

    Args:
        workdir: a run's folder is PRESET-FRAMEWORK-SEED in it.
        record: folder to append records to.
        samples: folder for a grid of one-step samples of each preset, with the first seed.
    """
    module = implementation(framework)
    for seed in seeds:
        for preset in presets:
            name = f"{preset.replace('/', '_')}-{framework}-{seed}"
            folder = workdir / name
            marker, place = folder / RECORDED, str(record.resolve()) if record else ""
            if marker.is_file() and marker.read_text(encoding="utf-8") == place:
                continue
            picture = samples / f"{name}.png" if samples and seed == seeds[0] else None
            config = load_config(preset, {"training.seed": seed})
            records = _one_run(module, framework, config, folder, picture)
            if not records:  # a signal ended it
                return
            if record:
                append(records, record_file(record, "ablations", records[0].date))
                marker.write_text(place, encoding="utf-8")
            yield f"{name}: {_said(records)}"


def side_by_side(arguments: Sequence[str], workdir: Path) -> int:
    """Run the command once for each framework, in separate processes with one thread each.

    SIGTERM is passed on to them; Ctrl-C reaches them from the terminal. They then save a
    checkpoint.

    Returns:
        The largest exit status; a process ended by signal n counts as 128 + n, as in a shell.
    """
    cache = {"JAX_COMPILATION_CACHE_DIR": str((workdir / "jax-cache").absolute())}
    command = [sys.executable, "-m", "meanflow_repro", "ablations", *arguments]
    running: list[subprocess.Popen[bytes]] = []
    received: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        for process in running:
            process.send_signal(number)

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        for name in FRAMEWORKS:
            start = [*command, "--framework", name]
            running.append(subprocess.Popen(start, env={**os.environ, **ALONE, **cache}))
        codes = [process.wait() for process in running]
    except KeyboardInterrupt:
        received.append(signal.SIGINT)
        codes = [process.wait() for process in running]
    finally:
        signal.signal(signal.SIGTERM, before)
    ended = (code if code >= 0 else 128 - code for code in codes)
    return max(*ended, *(128 + number for number in received))


def _one_run(
    module: Any, framework: str, config: Config, folder: Path, picture: Path | None
) -> list[Record]:
    """Records of one run; none if a signal ended it before its last step."""
    try:
        ending = train(module, framework, config, folder)
    except NotFiniteError as error:
        folder.mkdir(parents=True, exist_ok=True)
        return [failed_record(config, framework, str(error))]
    if not ending.finished:
        return []
    num_samples, num_steps, seed = (
        int(SCORED[name]) for name in ("num_samples", "num_steps", "sampling_seed")
    )
    weights = str(SCORED["weights"])
    made = generate(ending.checkpoint, num_samples, num_steps, seed, "balanced", framework, weights)
    if picture:
        with writable(picture):
            picture.parent.mkdir(parents=True, exist_ok=True)
            write_png(picture, picture_grid(made.images[:20], columns=10, scale=2))
    found = score_records(ending.checkpoint, framework, scores(config.dataset, made), SCORED)
    records = [record for record in found if not record.subject.startswith(REAL)]
    if config == load_config(DEFAULT, {"training.seed": config.training.seed}):
        records += curve_records(ending.checkpoint, framework)
    return records


def _said(records: Sequence[Record]) -> str:
    (distance,) = (r for r in records if r.what.endswith("Frechet_distance"))
    if distance.value is None:
        return distance.detail
    return f"Fréchet distance {distance.value:.2f}"
