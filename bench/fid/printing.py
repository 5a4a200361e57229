"""What fid-check prints, in 80 columns, and its records."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.fid.check import Agreement, Scored
from impls.common.config_files import load_config
from impls.common.environment import environment, num_threads
from impls.fid.collection import plan
from impls.fid.generation import Source, num_calls
from impls.fid.statistics import Statistics
from results.published import Published, published
from results.schema import Record, append, record_file
from results.verdict import PUBLISHED_SAMPLES, RULE, fid_verdict, rounding

NAMES = {"jax": "JAX", "torch": "PyTorch"}
# What FIDs must have in common to be held against each other.
PROTOCOL = ("labels", "uint8", "resize", "inception_sha256", "vae_sha256", "reference_sha256")


def print_stages(
    agreements: Mapping[str, Sequence[Agreement]], console: Console, differing: float | None = None
) -> None:
    """Errors of the stages, one column for each pair, with what is allowed where that is known."""
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
    """FID of each framework beside what is expected, with the verdict and its rule."""
    table = _table("FID", "expected")
    for title in ("measured (95 %)", "verdict"):
        table.add_column(title, justify="right")
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
    scores: Mapping[str, Scored], expected: float, allowed: float, console: Console
) -> bool:
    """FID of the stand-ins by each framework and by NumPy; whether all are the same to rounding."""
    table = _table("FID of the stand-ins", "FID", "error", "allow")
    table.add_row(" NumPy, float64", f"{expected:.6g}", "", "")
    agreed = True
    for name, found in scores.items():
        error = abs(found.fid.value / expected - 1)
        agreed &= error <= allowed
        marked = f"{error:.0e}" + ("" if error <= allowed else " X")
        table.add_row(f" {NAMES[name]}", f"{found.fid.value:.6g}", marked, f"{allowed:.0e}")
    console.print(table)
    return agreed


def print_published(console: Console) -> None:
    """The official README's table: FID by guidance and epochs."""
    rows = published("official_readme")
    table = _table("official README", *(f"{epochs} epochs" for epochs in (80, 240)))
    for preset in dict.fromkeys(row.preset for row in rows):
        method = load_config(str(preset)).method
        guidance = (
            "no guidance"
            if method.guidance_eq == "none"
            else f"omega {method.omega:g}, kappa {method.kappa:g}"
        )
        values = (f"{row.value:.2f}" for row in rows if row.preset == preset)
        table.add_row(f" {preset} ({guidance})", *values)
    console.print(table)


def interval(found: Scored) -> str:
    """Value (low to high) of a FID."""
    return f"{_number(found.fid.value)} ({_number(found.fid.low)} to {_number(found.fid.high)})"


def verdict(found: Scored, expected: Published | None) -> str:
    """What can be said of a FID."""
    if expected is None:
        return ""
    bounds = found.fid.low, found.fid.high
    return fid_verdict(bounds, expected.value, found.fid.num_samples, rounding(expected))


def write_records(
    scores: Mapping[str, Scored],
    expected: Published | None,
    source: Source,
    statistics: tuple[Statistics, str],
    about: Mapping[str, int | float | str],
    devices: Mapping[str, str],
    folder: Path,
) -> Path:
    """Append a record of each score, with its whole protocol, to a file of JSON lines.

    Args:
        statistics: what the samples are held against, and the SHA-256 of its file.
        about: further settings, such as the step and the decay of the average.
        devices: framework -> name of the device.
    """
    now, records = dt.datetime.now(dt.UTC), []
    for name, found in scores.items():
        where: dict[str, Any] = environment()
        where["machine"] |= {"device": devices[name], **num_threads()}
        settings = {
            **plan(source, found.fid.num_samples),
            **about,
            "reference_sha256": statistics[1],
            "standard_error": found.fid.standard_error,
            "bias": found.fid.bias,
        }
        config_hash = str(settings.pop("config_hash"))
        protocol = {key: settings.pop(key) for key in PROTOCOL}
        common = {
            "subject": f"impls.meanflow_{name}",
            "dtype": "float32",
            "config_hash": config_hash,
            "settings": settings,
            "protocol": protocol,
            "expected": expected.value if expected else None,
            "date": now.isoformat(timespec="seconds"),
            **where,
        }
        detail = ""
        if expected:
            detail = f"{verdict(found, expected)}; expected by {expected.source.title}"
        bounds = found.fid.low, found.fid.high
        records.append(
            Record(what="fid/fid", value=found.fid.value, unit="1", interval=bounds,
                   detail=detail, **common)
        )  # fmt: skip
        if found.inception_score:
            mean, deviation = found.inception_score
            settings = {**settings, "split_deviation": deviation}
            records.append(
                Record(what="fid/inception_score", value=mean, unit="1",
                       **{**common, "settings": settings})
            )  # fmt: skip
    path = record_file(folder, "fid", now.isoformat())
    append(records, path)
    return path


def print_head(source: Source, num_samples: int, step: int, weights: str, console: Console) -> None:
    """What is scored, and by which protocol."""
    size, steps = source.config.model.cls, num_calls(source)
    calls = f"{steps} steps" if steps > 1 else "one step"
    console.print(
        f"{size} at step {step:,}, {weights}\n{num_samples:,} samples ({calls}), uniformly random"
        f" labels, seed {source.seed}, {source.mode}"
    )
    if num_samples != PUBLISHED_SAMPLES:
        console.print(
            f"FID of {num_samples:,} samples lies above that of {PUBLISHED_SAMPLES:,}, which is"
            " what is published."
        )


def _marked(found: Agreement) -> str:
    return f"{found.error:.0e}" + ("" if found.tolerance is None or passes(found) else " X")


def passes(found: Agreement) -> bool:
    """Whether an error is within its tolerance; a NaN is not."""
    return found.tolerance is not None and found.error <= found.tolerance


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first)
    for column in columns:
        table.add_column(NAMES.get(column, column), justify="right")
    return table
