"""Table of the soak: how often each part was repeated, and how many tests failed."""

from typing import NamedTuple

from results.compare import origin
from results.schema import Record
from results.tabulate.cells import Cell, Said, Table, marked, plain


class Act(NamedTuple):
    """Part of the soak."""

    sentence: str
    counted: str  # the setting of its record that counts repetitions


ACTS = {
    "kills": Act("runs killed at random moments and resumed are bit-equal to an uninterrupted run",
                 "num_kills"),
    "repetitions": Act("runs resumed at random steps, samples of random seeds (the same bits),"
                       " larger images", "num_runs"),
    "mutants": Act("planted bugs: each fails the checks that must catch it", "num_mutants"),
    "slips": Act("small errors in the code: each fails a check or changes nothing", "num_slips"),
    "ports": Act("variants of a port: their faults are found, and none in correct ones",
                 "num_diagnoses"),
    "fuzz": Act("random settings, arrays and damaged files: properties that hold for all of them",
                "num_examples"),
}  # fmt: skip
NOTE = "If not all tests ran, the time was up; the seed determines their random order"


def soak(records: list[Record]) -> Table:
    """Table of each part's newest record."""
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
