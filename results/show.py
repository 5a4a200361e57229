"""Printed tables of records, in 80 columns."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from results.compare import Difference, Pair, machine_class
from results.schema import Record
from results.tabulate.cells import DIRTY, FOOTNOTE

# Settings that the table has no room for, or that its other columns show.
UNSAID = ("url", "params_sha256", "standard_error", "bias", "num_rounds", "model", "weights")
FIRST = ("check", "of", "preset")  # said without their names
KEPT = (*FIRST, "epochs", "num_steps")  # said even where all of a group have the same
LISTED = 3  # records named of those that could not be compared


def print_records(records: Iterable[Record]) -> None:
    """Print a line for each record, by subject and quantity: value with interval, origin."""
    rows = [(record, (estimate(record), record.date[:10], record.commit[:7])) for record in records]
    _print_groups(rows, {"value": 24, "date": 10, "commit": 7})


def print_difference(found: Difference, old: str, new: str) -> None:
    """Print changed records, the number compared, and those not comparable with the reason."""
    if found.moved:
        _print_pairs(found.moved, old, new)
    console = _console()
    console.print(
        f"{len(found.compared)} compared, {len(found.moved)} changed beyond both intervals"
    )
    for reason, records in found.not_compared.items():
        names = list(dict.fromkeys(record.what for record in records))
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        shown = ", ".join(names[:LISTED])
        console.print(f"not compared: {reason}: {len(records)} ({shown}{more})", soft_wrap=True)


def print_regressions(pairs: list[Pair], worse: list[Pair]) -> None:
    """Print the ratios that got worse, with their machine, and the number compared."""
    console = _console()
    if worse:
        _print_pairs(worse, "before", "newest")
        for name in sorted({machine_class(pair.new) for pair in worse}):
            console.print(f"on {name}", soft_wrap=True)
    console.print(
        f"{len(pairs)} ratios have an earlier record, {len(worse)} got worse beyond the intervals"
        " of the last ones"
    )


def _console() -> Console:
    """Console without markup, so that brackets and colons in records are printed as they are."""
    return Console(highlight=False, markup=False, emoji=False)


def _print_pairs(pairs: list[Pair], old: str, new: str) -> None:
    rows = [(pair.new, (estimate(pair.old), estimate(pair.new))) for pair in pairs]
    _print_groups(rows, {old[:20]: 24, new[:20] + " " * (old == new): 24})


def _print_groups(rows: Sequence[tuple[Record, tuple[str, ...]]], columns: dict[str, int]) -> None:
    """Print a table for each subject and quantity: the settings of each record, and its cells."""
    console = _console()
    ordered = sorted(rows, key=lambda row: _title(row[0]))
    for title, members in groupby(ordered, key=lambda row: _title(row[0])):
        group = list(members)
        table = _table(title, columns)
        for (_, cells), label in zip(group, _labels([row[0] for row in group]), strict=True):
            table.add_row(label, *cells)
        console.print(table)
    if any(cell.endswith(DIRTY) for _, cells in rows for cell in cells):
        console.print(FOOTNOTE, style="dim")


def estimate(record: Record) -> str:
    """Estimate in words: value (low to high), marked if the tree was dirty."""
    bounds = " to ".join(number(bound) for bound in record.interval or ())
    allowed = "" if record.tolerance is None else f" of {number(record.tolerance)}"
    said = "no number"
    if record.value is not None:
        said = f"{number(record.value)}{allowed}" + (f" ({bounds})" if bounds else "")
    return f"{said} {DIRTY}" if record.dirty else said


def number(value: float) -> str:
    """Number with four digits, in powers of ten if that is shorter."""
    if value == 0 or 0.001 <= abs(value) < 1e5:
        return f"{value:.4g}"
    return f"{value:.2e}"


def _title(record: Record) -> tuple[str, str]:
    """Title of a group: subject and quantity; the checks of a family share a title."""
    family, _, last = record.what.rpartition("/")
    return record.subject, family if "/" in family else f"{family}/{last}"


def _labels(group: list[Record]) -> list[str]:
    """Labels of the records of a group: the settings in which they differ, in few words.

    If two have the same label, the protocol is added.
    """
    said = [_settings(record) for record in group]
    labels = _differences(said)
    if len(set(labels)) == len(labels):
        return labels
    protocols = ({name: str(value) for name, value in r.protocol.items()} for r in group)
    return _differences([one | how for one, how in zip(said, protocols, strict=True)])


def _differences(said: list[dict[str, str]]) -> list[str]:
    """Values of each record that are not shared by all."""
    names = [name for name in said[0] if all(name in one for one in said)]
    shared = [name for name in names if len({one[name] for one in said}) == 1]
    dull = [name for name in shared if name not in KEPT]
    return [
        ", ".join(
            value if name in (*FIRST, "dtype") else f"{name}={value}"
            for name, value in one.items()
            if name not in dull
        )
        for one in said
    ]


def _settings(record: Record) -> dict[str, str]:
    known = {name: str(value) for name, value in record.settings.items() if name not in UNSAID}
    check = record.what.rpartition("/")[2] if record.what.count("/") > 1 else ""
    first = {"check": check, "of": known.pop("of", ""), "preset": known.pop("preset", "")}
    return {k: v for k, v in first.items() if v} | known | {"dtype": record.dtype}


def _table(title: tuple[str, str], columns: dict[str, int]) -> Table:
    """Table headed by subject and quantity; its first column takes the remaining width."""
    subject, what = title
    table = Table(
        box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=True, title_justify="left",
        title=Text.assemble((f"{subject}  ", "bold"), what), title_style="",
    )  # fmt: skip
    table.add_column("of", overflow="fold", ratio=1)
    for column, width in columns.items():
        table.add_column(column, overflow="fold", width=width)
    return table
