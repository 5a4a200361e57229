"""The command's app, and the options, checks of options and parsing that subcommands share."""

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import UseAppendAction, arg

from impls.common.errors import UserError, cut
from impls.common.limits import MOST_COUNTED, MOST_ROWS, MOST_SAMPLES, MOST_SEED, MOST_STEPS
from impls.common.paths import expanded

Framework = Literal["jax", "torch"]
Device = Annotated[str, arg(help="auto (a GPU or TPU where there is one), cpu, cuda, …")]
Override = Annotated[
    UseAppendAction[tuple[str, ...]],
    arg(name="set", help="SECTION.KEY=VALUE sets a key of the configuration; may be repeated."),
]
Run = Annotated[Path, arg(help="a run's folder, or that of one of its checkpoints.")]
Checksum = Annotated[
    bool, arg(help="verify the checkpoint's SHA-256, about one second per gigabyte.")
]
NumSteps = Annotated[
    int | None, arg(help="sampling steps (NFE) per sample; as configured (one) by default.")
]
Weights = Annotated[
    str, arg(help="ema, params (the raw parameters), or the decay of one of the stored EMAs.")
]
Maker = Annotated[
    Framework | None, arg(help="framework to sample with; the checkpoint's own by default.")
]
ScoreRecords = Annotated[Path | None, arg(help="folder to append records of the scores to.")]
LONGEST_ARGUMENT = 1000  # characters, except values of configuration keys
app = tyro.extras.SubcommandApp()


def check_writable(file: Path | None, folder: Path | None) -> None:
    """Raise UserError if outputs cannot be written, before any work; leaves no new file behind."""
    try:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        if file:
            is_new = not (file.exists() or file.is_symlink())
            file.open("a").close()
            if is_new:  # an empty file would look like a result
                file.unlink()
    except OSError as error:
        raise UserError(f"cannot write to {error.filename}: {error.strerror}") from error


def check_counts(least: int = 1, most: int = MOST_COUNTED, **counts: int | None) -> None:
    """Raise UserError for an option that is a count below the least or above the most."""
    for name, value in counts.items():
        expected = ""
        if value is not None and value < least:
            expected = f"a whole number, {least} or more"
        elif value is not None and value > most:
            expected = f"a whole number, {most:,} at most"
        if expected:
            raise UserError(f"--{name.replace('_', '-')} is {value}, expected {expected}")


def check_seeds(**options: Sequence[int]) -> None:
    """Raise UserError for a seed that no configuration could hold."""
    for name, seeds in options.items():
        for seed in seeds:
            check_counts(0, MOST_SEED, **{name: seed})


def check_batches(**sizes: int) -> None:
    """Raise UserError for an option that is not a valid batch size."""
    check_counts(most=MOST_ROWS, **sizes)


def check_generation(least: int, num_samples: int, num_steps: int | None, seed: int) -> None:
    """Raise UserError for too few or too many samples, too many steps, or an invalid seed."""
    check_counts(least=least, most=MOST_SAMPLES, num_samples=num_samples)
    check_counts(most=MOST_STEPS, num_steps=num_steps)
    check_seeds(seed=[seed])


def overrides(assignments: Sequence[str], **plain: object) -> dict[str, object]:
    """Values by key, from assignments SECTION.KEY=VALUE parsed as in a configuration file.

    Args:
        plain: values of keys that have an option of their own; None where it is not given.

    Raises:
        UserError: for an assignment without a value, an invalid value, or a key given twice.
    """
    from impls.common.yaml_files import parse_yaml

    found = {key: value for key, value in plain.items() if value is not None}
    for text in assignments:
        key, sign, value = text.partition("=")
        if not sign:
            raise UserError(f"--set {text} has no value: write SECTION.KEY=VALUE")
        if key in found:
            raise UserError(f"{key} is given twice on the command line: keep one of them")
        found[key] = parse_yaml(value, key)
    return found


def spell_out(arguments: Sequence[str]) -> list[str]:
    """Rewrite `--section.some-key value` as `--set section.some_key=value`, and expand ~.

    Raises:
        UserError: for a key without a value, or an argument that is too long.
    """
    spelled, rest = [], iter(arguments)
    for argument in rest:
        if argument == "--set":  # ~ is null in YAML, and errors shorten long values themselves
            spelled += [argument, *islice(rest, 1)]
            continue
        match = re.fullmatch(r"--([a-z]+)\.([\w-]+)(?:=(.*))?", argument, re.DOTALL)
        if match:
            section, key, value = match.groups()
            if value is None and (value := next(rest, None)) is None:
                raise UserError(f"{argument} has no value: write {argument} VALUE")
            spelled += ["--set", f"{section}.{key.replace('-', '_')}={value}"]
        elif len(argument) > LONGEST_ARGUMENT:
            raise UserError(
                f"{cut(argument)} has {len(argument)} characters, expected {LONGEST_ARGUMENT} at"
                " most"
            )
        elif argument.startswith("~"):
            spelled.append(str(expanded(argument)))
        elif match := re.fullmatch(r"(--[\w-]+=)(~.*)", argument, re.DOTALL):
            spelled.append(f"{match[1]}{expanded(match[2])}")
        else:
            spelled.append(argument)
    return spelled
