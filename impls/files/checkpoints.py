"""Folders of checkpoints, written atomically; the newest few are kept.

    workdir/checkpoints/<step>/state        the framework's own files
                               config.yml   the effective configuration
                               about.json   framework, step, SHA-256 of the others, environment

A checkpoint is written under a temporary name and renamed when it is complete, so the newest folder
with a plain number is a complete checkpoint even if the process is killed. Later damage is
detected: configuration and state are compared with their SHA-256 before they are read. Older
checkpoints without SHA-256 are read unchecked.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impls.common.config import Config
from impls.common.config_files import effective_yaml, load_config
from impls.common.environment import environment
from impls.common.errors import UserError
from impls.common.parameters import num_parameters
from impls.files.reading import readable

FORMAT = 1
FRAMEWORKS = ("jax", "torch")
GIVE = "give a run's folder or a step's"


class CheckpointError(UserError):
    """Checkpoint that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Checkpoint:
    """Complete checkpoint on disk."""

    path: Path
    framework: str  # "jax" or "torch"
    step: int
    config: Config
    # Relative path of each file -> hexadecimal SHA-256; empty where nothing is compared.
    sha256: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def state(self) -> Path:
        """Path of the state, in the framework's own format."""
        return self.path / "state"


def write(
    workdir: Path, framework: str, step: int, config: Config, save: Callable[[Path], None]
) -> Path:
    """Write the checkpoint of a step atomically, and delete the oldest beyond `keep_checkpoints`.

    Args:
        save: function that writes the state to a path.

    Raises:
        CheckpointError: when it cannot be written; earlier checkpoints are kept.
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
        about["sha256"] = _sha256_of_files(partial)
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


def find(path: Path, *, checksum: bool = True) -> Checkpoint:
    """Checkpoint at a path: a step's folder, or the newest one in a run's folder.

    Args:
        checksum: verify the SHA-256 of configuration and state; that of the state when it is read.

    Raises:
        CheckpointError: when there is none, or it is damaged.
    """
    with readable(path, GIVE, CheckpointError):
        for folder in (path, path / "checkpoints"):
            if not (folder / "about.json").exists() and (steps := _steps(folder)):
                path = folder / str(steps[-1])
                break
        if not (path / "about.json").is_file() and (_step_of(path) is None or not path.is_dir()):
            raise CheckpointError(f"there is no checkpoint at {path}: {GIVE}")
    with _or_another(path):
        return _read(path, checksum)


def newest(workdir: Path, *, checksum: bool = True) -> Checkpoint | None:
    """Newest checkpoint of a run, or None if there is none yet."""
    return find(workdir, checksum=checksum) if _steps(workdir / "checkpoints") else None


def restore(checkpoint: Checkpoint, read: Callable[[Path, Config], Any], config: Config) -> Any:
    """Training state of a checkpoint, after its files and step are verified.

    Args:
        read: `restore_checkpoint` of the implementation that wrote it.
        config: configuration of the network that the state belongs to.

    Raises:
        CheckpointError: when it is damaged, naming the newest undamaged one.
    """
    with _or_another(checkpoint.path):
        _compare(checkpoint.path, checkpoint.sha256)
        state = read(checkpoint.state, config)
        if int(state.step) != checkpoint.step:
            raise CheckpointError(
                f"{checkpoint.path} is damaged: its state is of step {int(state.step)}, its"
                f" about.json of step {checkpoint.step}"
            )
    return state


def unreadable(path: Path, error: Exception) -> CheckpointError:
    """Error for a state that a framework cannot read, in place of the framework's own message."""
    reason = getattr(error, "strerror", None) or type(error).__name__
    return CheckpointError(
        f"the checkpoint {path} cannot be read ({reason}): it is damaged, or of another network"
    )


def _read(path: Path, checksum: bool) -> Checkpoint:
    """Checkpoint in a step's folder; its state is not read yet.

    Raises:
        UserError: when it is damaged, or of a later release.
    """
    file = path / "about.json"
    with readable(file, "it is damaged", CheckpointError):
        about = json.loads(file.read_bytes())
        framework, step, version = about["framework"], about["step"], about["format"]
        sha256 = dict(about.get("sha256", {})) if checksum else {}
    if version != FORMAT or framework not in FRAMEWORKS:
        raise CheckpointError(
            f"{path} has format {version!r:.40} of {framework!r:.40}: use a later release"
        )
    if type(step) is not int or step < 0 or _step_of(path) not in (None, step):
        raise CheckpointError(f"{path} is damaged: the step in its about.json is {step!r:.40}")
    if checksum and "sha256" in about:
        _compare(path, {"config.yml": sha256.get("config.yml")})
    return Checkpoint(path, framework, step, load_config(path / "config.yml"), sha256)


def _sha256_of_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder: relative path -> hexadecimal."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): _sha256(file) for file in files}


def _sha256(file: Path) -> str:
    """Hexadecimal SHA-256 of a file, about one second per gigabyte."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _compare(folder: Path, recorded: Mapping[str, str | None]) -> None:
    """Raise CheckpointError, naming the first file whose SHA-256 differs."""
    for name, sha256 in recorded.items():
        with readable(folder / name, "it is damaged", CheckpointError):
            found = _sha256(folder / name)
        if found != sha256:
            raise CheckpointError(f"{folder / name} is damaged: about.json has another SHA-256")


@contextmanager
def _or_another(path: Path) -> Iterator[None]:
    """Context that adds to an error the newest undamaged checkpoint of the same run."""
    try:
        yield
    except UserError as error:
        if _step_of(path) is None:
            raise CheckpointError(str(error)) from error
        others = (path.parent / str(step) for step in reversed(_steps(path.parent)))
        whole = next((other for other in others if other != path and _is_whole(other)), None)
        instead = f"; there is no undamaged one beside it in {path.parent}"
        if whole is not None:
            instead = (
                f"; the newest undamaged one is {whole}: give that path, or delete {path} and the"
                " run resumes from there"
            )
        raise CheckpointError(f"{error}{instead}") from error


def _is_whole(path: Path) -> bool:
    """True if a checkpoint's files are present and their SHA-256 match."""
    try:
        found = _read(path, checksum=True)
        _compare(path, found.sha256)
    except UserError:
        return False
    return found.state.exists()


def _check_space(folder: Path, config: Config) -> None:
    """Raise CheckpointError for too little free space, before the frameworks fail obscurely."""
    copies = 4 + len(config.training.ema_more)  # parameters, averages, two moments
    needed = 4 * copies * num_parameters(config.network)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CheckpointError(
            f"cannot write a checkpoint to {folder.parent}: it needs {needed / 1e6:.0f} MB,"
            f" and {free / 1e6:.0f} MB are free"
        )


def _steps(folder: Path) -> list[int]:
    """Steps of the checkpoints in a folder, in order."""
    with readable(folder, GIVE, CheckpointError):
        entries = [entry for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []
    found = map(_step_of, entries)
    return sorted(step for step in found if step is not None)


def _step_of(path: Path) -> int | None:
    """Step of a checkpoint's folder, by its name; None for any other folder."""
    name, above = path.absolute().name, path.absolute().parent.name
    is_step = above == "checkpoints" and re.fullmatch("0|[1-9][0-9]*", name)  # not 007, nor ²
    return int(name) if is_step else None


def _discard(checkpoint: Path) -> None:
    """Delete a checkpoint; it is renamed first, so a partly deleted one is never read."""
    if checkpoint.exists():
        nameless = checkpoint.with_name(f".partial-discarded-{checkpoint.name}")
        shutil.rmtree(nameless, ignore_errors=True)
        checkpoint.rename(nameless)
        shutil.rmtree(nameless, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Flush every file to disk before the folder is renamed."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
