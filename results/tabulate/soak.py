"""The table of the soak: how often each act was repeated, and how much of it failed."""

from typing import NamedTuple

from results.compare import origin
from results.schema import Record
from results.tabulate.cells import Cell, Said, Table, marked, plain


class Act(NamedTuple):
    """What is repeated."""

    sentence: str
    counted: str  # the setting of its record that says how often


ACTS = {
    "kills": Act("runs killed at random moments end with the same bits as one left alone",
                 "num_kills"),
    "repetitions": Act("runs resumed at random steps, samples of random seeds (the same bits),"
                       " larger images", "num_runs"),
    "mutants": Act("planted bugs: each fails the checks that must catch it", "num_mutants"),
    "slips": Act("small slips in both texts: each fails a check or changes nothing", "num_slips"),
    "fuzz": Act("random settings, arrays and damaged files: what holds of any, holds",
                "num_examples"),
}  # fmt: skip
NOTE = "Where not all tests ran, the time was up; the seed drew which of them came first"


def soak(records: list[Record]) -> Table:
    """Each act's newest record."""
    newest = {record.what: record for record in records if record.subject == "soak"}
    heads = ["`nox -s soak`", "repeats", "times", "tests run", "failed", "seed", "minutes"]
    rows: list[list[Cell]] = []
    for name, act in ACTS.items():
        record = newest.get(f"soak/{name}")
        cells = _cells(record, act.counted) if record else ["not run"]
        rows.append([f"`{name}`", act.sentence, *cells])
    origins = dict.fromkeys(plain(origin(record)) for record in newest.values())
    note = f"{NOTE} ({'; '.join(origins)})." if origins else f"{NOTE}."
    return Table(heads, rows, [note], num_labels=2)


def _cells(record: Record, count: str) -> list[Cell]:
    said = record.settings
    failed = "none" if record.value == 0 else f"{record.value:.0f}"
    return [
        marked(plain(str(said[count])), record),
        Said(plain(f"{said['num_run']} of {said['num_tests']}"), (record,)),
        Said(failed, (record,)),
        Said(plain(str(said["seed"])), (record,)),
        Said(f"{float(said['seconds']) / 60:.1f}", (record,)),
    ]
