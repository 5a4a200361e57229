"""Folders of checkpoints: written whole or not at all, the newest few kept.

    workdir/checkpoints/<step>/state        the framework's own files
                               config.yml   the effective configuration
                               about.json   framework, step, environment

A checkpoint is written under a temporary name and renamed when it is complete, so whatever is
killed whenever, the newest folder with a plain number is a whole checkpoint.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from impls.common.config import Config
from impls.common.config_files import effective_yaml, load_config
from impls.common.environment import environment
from impls.common.errors import UserError
from impls.common.parameters import num_parameters

FORMAT = 1
FRAMEWORKS = ("jax", "torch")


class CheckpointError(UserError):
    """A checkpoint that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint on disk."""

    path: Path
    framework: str  # "jax" or "torch"
    step: int
    config: Config

    @property
    def state(self) -> Path:
        """The framework's own files."""
        return self.path / "state"


def write(
    workdir: Path, framework: str, step: int, config: Config, save: Callable[[Path], None]
) -> Path:
    """Write the checkpoint of a step, atomically, and drop the oldest beyond `keep_checkpoints`.

    Args:
        save: writes the state to the path that it is given.

    Raises:
        CheckpointError: when the disk refuses; what was there before is untouched.
    """
    folder = workdir / "checkpoints"
    partial, final = folder / f".partial-{step}-{os.getpid()}", folder / str(step)
    about = {"format": FORMAT, "framework": framework, "step": step, **environment()}
    shutil.rmtree(partial, ignore_errors=True)  # of a killed process with the same number
    try:
        partial.mkdir(parents=True)
        _check_space(partial, config)
        save(partial / "state")
        (partial / "config.yml").write_text(effective_yaml(config), encoding="utf-8")
        (partial / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        _flush(partial)
        _discard(final)
        partial.rename(final)
    except Exception as error:  # Orbax, TensorStore and torch raise many kinds
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, CheckpointError):
            raise
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
        raise CheckpointError(f"cannot write the checkpoint {final}: {reason}") from error
    for stale in _steps(folder)[: -config.training.keep_checkpoints]:
        _discard(folder / str(stale))
    for abandoned in folder.glob(".partial-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    return final


def find(path: Path) -> Checkpoint:
    """The checkpoint at a path: a step's folder, or the newest of a run's folder.

    Raises:
        CheckpointError: when there is none, or it is damaged.
    """
    for folder in (path, path / "checkpoints"):
        if folder.is_dir() and not (folder / "about.json").exists() and _steps(folder):
            return find(folder / str(_steps(folder)[-1]))
    if not (path / "about.json").is_file():
        raise CheckpointError(f"there is no checkpoint at {path}: give a run's folder or a step's")
    try:
        about = json.loads((path / "about.json").read_text(encoding="utf-8"))
        framework, step, version = about["framework"], about["step"], about["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path / 'about.json'} is damaged: {error}") from error
    if version != FORMAT or framework not in FRAMEWORKS:
        raise CheckpointError(f"{path} has format {version} of {framework}: use a later release")
    return Checkpoint(path, framework, int(step), load_config(path / "config.yml"))


def newest(workdir: Path) -> Checkpoint | None:
    """The newest checkpoint of a run, or None where there is none yet."""
    return find(workdir) if _steps(workdir / "checkpoints") else None


def _check_space(folder: Path, config: Config) -> None:
    """Find a full disk before the writing, which the frameworks' own messages bury."""
    copies = 4 + len(config.training.ema_more)  # parameters, averages, two moments
    needed = 4 * copies * num_parameters(config.network)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CheckpointError(
            f"cannot write a checkpoint to {folder.parent}: it needs {needed / 1e6:.0f} MB,"
            f" and {free / 1e6:.0f} MB are free"
        )


def _steps(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdigit())


def _discard(checkpoint: Path) -> None:
    """Remove a checkpoint; it loses its name first, so half of it is never taken for a whole."""
    if checkpoint.exists():
        nameless = checkpoint.with_name(f".partial-discarded-{checkpoint.name}")
        shutil.rmtree(nameless, ignore_errors=True)
        checkpoint.rename(nameless)
        shutil.rmtree(nameless, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Hand every file to the disk, so that the rename cannot overtake its content."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
