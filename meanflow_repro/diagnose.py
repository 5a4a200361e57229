"""`meanflow diagnose`."""

from pathlib import Path
from typing import Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional

from impls.common.errors import NotInstalledError, UserError
from meanflow_repro.options import app, check_counts, check_writable

MOST_SEED = 2**31 - 1  # what is added to it must be a seed too


@app.command(name="diagnose")
def diagnose(
    file: Positional[Path | None] = None,
    /,
    *,
    python: str = "",
    preset: Literal["imagenet", "cifar10_v0", "cifar10_v1"] = "imagenet",
    json: Path | None = None,
    svg: Path | None = None,
    strict: FlagCreatePairsOff[bool] = False,
    seed: int = 0,
    network: FlagCreatePairsOff[bool] = False,
    template: Literal["torch", "jax"] | None = None,
) -> int:
    """Print what anybody's MeanFlow code computes, beside what the authors' code does.

    FILE names the loss, the network's arguments and the sampler of a port (--template prints one to
    fill in). It runs in a process of its own with a probe network in place of the port's, and is
    not edited. Exit status: 0 if nothing differs but what the file claims; 1 if something does; 2
    if path, derivative, target or weight could not be told, or the file cannot be run. Progress
    goes to stderr, the report to stdout. Ctrl-C ends with the findings so far and status 130,
    SIGTERM with 143.

    Args:
        file: the file that describes the port.
        python: interpreter that runs the port: that of its own environment; this one by default.
        preset: what it is held to: the authors' ImageNet code, or CIFAR-10 code (two laws of times).
        json: file to write every finding to; "complete" is false in it if the run was interrupted.
        svg: file for a figure of the times and weights that were observed, with the official laws.
        strict: exit with 1 for differences that the file claims, too.
        seed: of all inputs and of the port's random numbers.
        network: also examine the network that the file's function build returns.
        template: print a file to fill in for PyTorch or JAX, and exit.
    """
    if template:
        from verify.ports.templates import text

        print(text(template), end="")
        return 0
    if file is None:
        raise UserError("FILE is missing: name a port's file, or print one with --template torch")
    check_counts(0, MOST_SEED, seed=seed)
    for output in (json, svg):
        check_writable(output, None)
    figure = _figure() if svg else None
    from rich.console import Console

    from verify.news import News
    from verify.ports.diagnosis import run
    from verify.ports.report import lines, write_json

    with News() as news:
        diagnosis, observed = run(
            file, preset, seed, python=python, network=network, progress=news.note
        )
    try:
        console = Console(highlight=False, soft_wrap=True)
        for line in lines(diagnosis):
            console.print(line)
    finally:  # also when the pipe is closed early, as in `meanflow diagnose | head`
        if json:
            write_json(diagnosis, json)
        if svg and figure:
            figure(diagnosis, observed, svg)
    return diagnosis.exit_status(strict=strict)


def _figure() -> Any:
    """The function that writes the figure.

    Raises:
        NotInstalledError: when matplotlib is missing.
    """
    try:
        from verify.ports.figure import write_figure
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise NotInstalledError(
            "--svg needs the package matplotlib, which is not installed:"
            ' pip install -c constraints.txt -e ".[figures]"'
        ) from None
    return write_figure
