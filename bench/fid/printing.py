"""Printed output of fid-check, in 80 columns."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from bench.fid.check import Agreement, Scored, verdict
from impls.common.config_files import load_config
from impls.fid.generation import Source, num_calls
from results.published import Published, published
from results.verdict import PUBLISHED_SAMPLES, RULE

NAMES = {"jax": "JAX", "torch": "PyTorch"}


def print_stages(
    agreements: Mapping[str, Sequence[Agreement]], console: Console, differing: float | None = None
) -> None:
    """Print differences by stage, one column for each pair, with tolerances where there are any."""
    first = next(iter(agreements.values()))
    table = _table("stage, largest error", *agreements)
    bounded = first[0].tolerance is not None
    if bounded:
        table.add_column("allow", justify="right")
    for row, stage in enumerate(found.stage for found in first):
        cells = [_marked(found[row]) for found in agreements.values()]
        table.add_row(f" {stage}", *cells, *([f"{first[row].tolerance:.0e}"] if bounded else []))
    if differing is not None:
        table.add_row(" pixels that differ", f"{100 * differing:.3f} %")
    console.print(table)


def print_scores(
    scores: Mapping[str, Scored], expected: Published | None, console: Console
) -> None:
    """Print the FID of each framework beside the expected value, with the verdict and its rule."""
    table = _table("FID", "expected", "measured (95 %)", "verdict")
    value = f"{expected.value:g}" if expected else "none known"
    for name, found in scores.items():
        table.add_row(f" {NAMES[name]}", value, interval(found), verdict(found, expected))
    console.print(table)
    values = [found.fid.value for found in scores.values()]
    if len(values) > 1:
        console.print(f" JAX - PyTorch {values[0] - values[1]:+.2g}, from the same noise")
    for name, found in scores.items():
        if found.inception_score:
            mean, deviation = found.inception_score
            console.print(f" Inception score of {NAMES[name]}: {mean:.2f} ± {deviation:.2f}")
    if expected:
        console.print(f"\nexpected: {expected.place} ({expected.source.url})", soft_wrap=True)
        console.print(f"{RULE}.")
        low, high = (share.value * expected.value for share in published("seed_spread"))
        console.print(
            f"Another training seed alone moves this FID by {low:.2g} to {high:.2g} (one standard"
            " deviation)."
        )


def print_standins(
    scores: Mapping[str, Scored],
    errors: Mapping[str, float],
    expected: float,
    allowed: float,
    console: Console,
) -> None:
    """Print the FID of the stand-ins in each framework and in NumPy, with relative errors."""
    table = _table("FID of the stand-ins", "FID", "error", "allow")
    table.add_row(" NumPy, float64", f"{expected:.6g}", "", "")
    for name, error in errors.items():
        marked = f"{error:.0e}" + ("" if error <= allowed else " X")
        table.add_row(f" {NAMES[name]}", f"{scores[name].fid.value:.6g}", marked, f"{allowed:.0e}")
    console.print(table)


def print_published(console: Console) -> None:
    """Print the official README's table: FID by guidance and epochs."""
    rows = published("official_readme")
    table = _table("official README", *(f"{epochs} epochs" for epochs in (80, 240)))
    for preset in dict.fromkeys(row.preset for row in rows):
        method = load_config(str(preset)).method
        guidance = f"omega {method.omega:g}, kappa {method.kappa:g}"
        if method.guidance_eq == "none":
            guidance = "no guidance"
        values = (f"{row.value:.2f}" for row in rows if row.preset == preset)
        table.add_row(f" {preset} ({guidance})", *values)
    console.print(table)


def interval(found: Scored) -> str:
    """FID in words: value (low to high)."""
    return f"{_number(found.fid.value)} ({_number(found.fid.low)} to {_number(found.fid.high)})"


def print_head(source: Source, num_samples: int, step: int, weights: str, console: Console) -> None:
    """Print the checkpoint and the protocol of the score."""
    size, steps = source.config.model.cls, num_calls(source)
    calls = f"{steps} steps" if steps > 1 else "one step"
    console.print(
        f"{size} at step {step:,}, {weights}\n{num_samples:,} samples ({calls}), uniformly random"
        f" labels, seed {source.seed}, {source.mode}"
    )
    if num_samples != PUBLISHED_SAMPLES:
        console.print(
            f"FID of {num_samples:,} samples lies above that of {PUBLISHED_SAMPLES:,}, the number"
            " in published results."
        )


def _marked(found: Agreement) -> str:
    return f"{found.error:.0e}" + ("" if found.tolerance is None or found.passes else " X")


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first)
    for column in columns:
        table.add_column(NAMES.get(column, column), justify="right")
    return table
