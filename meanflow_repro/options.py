"""What the subcommands share: the app they belong to, and what their options mean."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
import yaml
from tyro.conf import UseAppendAction, arg

from impls.common.errors import UserError

Framework = Literal["jax", "torch"]
Device = Annotated[str, arg(help="auto (a GPU or TPU where there is one), cpu, cuda, …")]
Override = Annotated[
    UseAppendAction[tuple[str, ...]],
    arg(name="set", help="SECTION.KEY=VALUE, laid over the configuration; may be repeated."),
]
Run = Annotated[Path, arg(help="a run's folder, or that of one of its checkpoints.")]
NumSteps = Annotated[
    int | None, arg(help="network calls for each; as configured (one) by default.")
]
Weights = Annotated[
    str, arg(help="ema, params (no average), or the decay of one of the averages that were kept.")
]
Maker = Annotated[
    Framework | None, arg(help="makes the samples; that of the checkpoint by default.")
]
ScoreRecords = Annotated[Path | None, arg(help="folder to append records of the scores to.")]
app = tyro.extras.SubcommandApp()


def check_writable(file: Path | None, folder: Path | None) -> None:
    """Find out before the work, not after it."""
    try:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        if file:
            is_new = not file.exists()
            file.open("a").close()
            if is_new:  # an empty file would look like an answer
                file.unlink()
    except OSError as error:
        raise UserError(f"cannot write to {error.filename}: {error.strerror}") from error


def check_counts(least: int = 1, **counts: int | None) -> None:
    """Raise UserError for an option that is a count below the least."""
    for name, value in counts.items():
        if value is not None and value < least:
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} is {value}, expected a whole number, {least} or more")


def assignment(text: str) -> tuple[str, object]:
    """SECTION.KEY=VALUE -> key and value, as YAML reads it."""
    key, sign, value = text.partition("=")
    if not sign:
        raise UserError(f"--set {text} has no value: write SECTION.KEY=VALUE")
    try:
        return key, yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise UserError(f"--set {text}: the value is not readable YAML") from error


def spell_out_keys(arguments: Sequence[str]) -> list[str]:
    """Turn `--section.some-key value` into `--set section.some_key=value`."""
    spelled, rest = [], iter(arguments)
    for argument in rest:
        match = re.fullmatch(r"--([a-z]+)\.([\w-]+)(?:=(.*))?", argument, re.DOTALL)
        if match:
            section, key, value = match.groups()
            value = next(rest, "") if value is None else value
            spelled += ["--set", f"{section}.{key.replace('-', '_')}={value}"]
        else:
            spelled.append(argument)
    return spelled
