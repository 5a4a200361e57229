"""`meanflow bench`: runs benches by name, one after another."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from bench.attention import attention
from bench.depth import depth
from bench.gpu.steps import gpu
from bench.jvp_overhead import jvp_overhead
from bench.measurement import Measured, Run, write_json
from bench.printing import print_report
from bench.records import keep
from bench.sampling import sampling
from bench.throughput import throughput
from bench.tpu.steps import tpu
from impls.common.errors import UserError
from impls.common.paths import expanded

BENCHES: dict[str, Callable[[Run], Measured]] = {
    "jvp-overhead": jvp_overhead,
    "throughput": throughput,
    "sampling": sampling,
    "attention": attention,
    "depth": depth,
    "tpu": tpu,
    "gpu": gpu,
}


def measure(names: Sequence[str], run: Run, json: Path | None, record: Path | None) -> None:
    """Run benches one after another, print each, and write JSON and records if asked for.

    Raises:
        UserError: for a bench that these settings make meaningless, or an invalid checkout.
    """
    if run.official is not None and not {"jvp-overhead", "tpu"} & set(names):
        raise UserError("--against is for the benches jvp-overhead and tpu")
    run.config()  # a wrong one is reported before the work
    console, finished = Console(highlight=False), []
    with console.status("") as status:
        for name in names:
            finished.append(BENCHES[name](run._replace(report=status.update)))
            print_report(finished[-1], console)
            if record:
                keep(finished[-1].records(), "bench", record, console)
    if json:
        write_json(finished, json)


def checkout(against: str | None) -> Path | None:
    """Path of the checkout in official=PATH."""
    if against is None:
        return None
    name, _, path = against.partition("=")
    if name != "official" or not path:
        raise UserError(f"--against is {against}, expected official=PATH, a checkout of their code")
    return expanded(path)
