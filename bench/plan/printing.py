"""Printed plans: one column each, in 80 columns."""

from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.table import Table

from bench.plan.calibration import published_runs, utilisation
from bench.plan.costs import Plan

COLUMNS = 4  # plans side by side


def print_plans(plans: Sequence[Plan], console: Console) -> None:
    """Print plans of one configuration, and where the numbers come from."""
    config = plans[0].config
    method = "guided" if config.method.guidance_eq != "none" else "unguided"
    console.print(
        f"{plans[0].name}: {config.model.cls}, {method}, {config.training.precision};"
        " estimates, nothing was measured"
    )
    for start in range(0, len(plans), COLUMNS):
        console.print(_table(plans[start : start + COLUMNS]))
    for note in notes(plans):
        console.print(note)


ROWS: dict[str, Callable[[Plan], str]] = {
    "batch": lambda plan: f"{plan.config.training.batch_size}",
    "rows at once": lambda plan: f"{plan.num_rows} x {plan.num_parts}",
    "products in": lambda plan: plan.products,
    "steps": lambda plan: f"{plan.num_steps:,}",
    "seconds per step": lambda plan: f"{plan.step_seconds:.3g}",
    "within a factor of": lambda plan: f"{plan.error:.2f}",
    "days": lambda plan: f"{plan.hours / 24:.2g}" if plan.hours < 240 else f"{plan.hours / 24:.0f}",
    "chip-hours": lambda plan: f"{plan.chip_hours:,.0f}",
    "price": lambda plan: "" if plan.price is None else f"{plan.price:,.0f}",
    "memory per device, GB": lambda plan: f"{plan.memory.peak / 1e9:.1f}",
    "  state": lambda plan: f"{plan.memory.state / 1e9:.1f}",
    "  gradient": lambda plan: f"{plan.memory.gradient / 1e9:.1f}",
    "  activations": lambda plan: f"{plan.memory.activations / 1e9:.1f}",
    "of, GB": lambda plan: f"{plan.device_memory / 1e9:.1f}",
    "fits": lambda plan: "yes" if plan.fits else "no",
    "checkpoint, GB": lambda plan: f"{plan.checkpoint_bytes / 1e9:.1f}",
    "training set, GB": lambda plan: f"{plan.data_bytes / 1e9:.1f}",
    "loader, MB/s": lambda plan: f"{plan.data_rate / 1e6:.0f}",
}


def _table(plans: Sequence[Plan]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for plan in plans:
        table.add_column(plan.machine.name, justify="right")
    for name, value in ROWS.items():
        cells = [value(plan) for plan in plans]
        if any(cells):
            table.add_row(name, *cells)
    return table


def notes(plans: Sequence[Plan]) -> Iterator[str]:
    """What the estimates rest on, and what would change the run."""
    for kind in dict.fromkeys(plan.machine.chip.kind for plan in plans):
        runs = sum(r.is_calibrated and r.machine.chip.kind == kind for r in published_runs())
        yield (
            f"Time: (FLOPs / peak + bytes / bandwidth) / {utilisation(kind):.2f}, from {runs}"
            f" published {kind.upper()} runs, each predicted by the others within the factor."
        )
    for plan in plans:
        if sentence := plan.unequal:
            yield f"{plan.machine.name}, batch {plan.config.training.batch_size}: {sentence}."
