"""What the subcommands share: the app they belong to, and what their options mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
import yaml
from tyro.conf import UseAppendAction, arg

from impls.common.errors import UserError

# SECTION.KEY=VALUE, laid over a configuration; may be repeated.
Override = Annotated[UseAppendAction[tuple[str, ...]], arg(name="set")]
app = tyro.extras.SubcommandApp()


def check_writable(file: Path | None, folder: Path | None) -> None:
    """Find out before the work, not after it."""
    try:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        if file:
            file.open("a").close()
    except OSError as error:
        raise UserError(f"cannot write to {error.filename}: {error.strerror}") from error


def check_count(option: str, value: int | None, least: int = 1) -> None:
    """Raise UserError for a count below the least."""
    if value is not None and value < least:
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
