"""`meanflow bench`: which benches there are, and what the command line says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from impls.common.errors import UserError

Name = Literal["jvp-overhead", "throughput", "sampling", "attention", "depth"]


def measure(
    names: Sequence[Name],
    subject: Any,
    framework: str,
    source: str | None,
    overrides: dict[str, Any],
    num_rounds: int,
    against: str | None,
    wanted: Sequence[str],
    models: Sequence[str],
    batch_sizes: Sequence[int],
    json: Path | None,
    record: Path | None,
) -> None:
    """Make benches one after another, print each, and write what was asked for.

    Raises:
        UserError: for a bench without sense in these settings, or a checkout that is none.
    """
    from rich.console import Console

    from bench.attention import attention
    from bench.depth import depth
    from bench.forms import configuration
    from bench.jvp_overhead import jvp_overhead
    from bench.measurement import Measured, write_json, write_records
    from bench.printing import print_report
    from bench.sampling import sampling
    from bench.throughput import throughput

    official = _checkout(against)
    if official is not None and "jvp-overhead" not in names:
        raise UserError("--against is for the bench jvp-overhead")
    config = configuration(source, overrides)
    models = models or [config.model.cls]
    batch_sizes = batch_sizes or [config.training.batch_size]
    console, finished = Console(highlight=False), []
    with console.status("") as status:
        about = (subject, source, overrides, num_rounds, status.update)
        benches: dict[Name, Callable[[], Measured]] = {
            "jvp-overhead": lambda: jvp_overhead(*about, framework, wanted, official),
            "throughput": lambda: throughput(*about, models, batch_sizes),
            "sampling": lambda: sampling(*about),
            "attention": lambda: attention(*about),
            "depth": lambda: depth(subject, status.update),
        }
        for name in names:
            finished.append(benches[name]())
            print_report(finished[-1], console)
            if record:
                path = write_records(finished[-1], record)
                console.print(f"records appended to {path}", soft_wrap=True)
    if json:
        write_json(finished, json)


def _checkout(against: str | None) -> Path | None:
    if against is None:
        return None
    name, _, path = against.partition("=")
    if name != "official" or not path:
        raise UserError(f"--against is {against}, expected official=PATH, a checkout of their code")
    return Path(path)
