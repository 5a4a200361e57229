"""Table of results at a glance: one line for each main question."""

from results.compare import passes
from results.published import published
from results.schema import Record
from results.tabulate.cells import JAX, NAMES, TORCH, Cell, Said, Table, estimate, joined
from results.tabulate.checks import newest_runs
from results.tabulate.jvp_overhead import newest_overheads
from results.tabulate.reproduction import published_fids, scores
from results.tabulate.small_images import ACCURACY, newest_scores

UNGUIDED = "unguided sparse / flow matching"
OFFICIAL = "guided sparse / guided official"


def glance(records: list[Record]) -> Table:
    """Table of questions, values measured here and published values: newest records."""
    overheads = newest_overheads(records)
    ratio = {
        (subject, of): estimate(
            overheads.get((subject, "auto", "bench/step_time_ratio", of)), places=2
        )
        for subject in (JAX, TORCH)
        for of in (UNGUIDED, OFFICIAL)
    }
    both: Cell = ("JAX ", ratio[JAX, UNGUIDED], ", PyTorch ", ratio[TORCH, UNGUIDED])
    overhead = published("jvp_overhead")[0]
    paper = Said(f"{overhead.printed} on a TPU v4-8, dense JVP", (overhead,))
    rows: list[list[Cell]] = [
        ["checks that pass, in float64 and float32", _checks(records)],
        ["time of a MeanFlow step / a flow matching step, two CPU cores", both, paper],
        ["time of the guided step / the authors' step, JAX, two CPU cores", ratio[JAX, OFFICIAL]],
        ["digits in one step: share classified as their label", _digits(records)],
        ["the paper's FIDs that were measured again", _fids(records)],
    ]
    return Table(["question", "here", "published"], rows)


def _checks(records: list[Record]) -> Cell:
    found = [record for run in newest_runs(records).values() for record in run]
    if not found:
        return "not measured"
    return (Said(f"{sum(map(passes, found))} of {len(found)}", tuple(found)),)


def _digits(records: list[Record]) -> Cell:
    """Lowest and highest accuracy over each framework's seeds."""
    runs = newest_scores(records, "digits")
    cells: list[Cell] = []
    for subject, name in NAMES.items():
        found = [run[ACCURACY] for (of, _), run in sorted(runs.items()) if of == subject]
        values = [record.value for record in found if record.value is not None]
        if values:
            said = dict.fromkeys(f"{value:.3f}" for value in (min(values), max(values)))
            cells.append((f"{name} ", Said(" to ".join(said), tuple(found))))
    return joined(", ", cells) if cells else "not measured"


def _fids(records: list[Record]) -> Cell:
    """Number of rows of the table of reproductions with an FID of ours, and with one of others."""
    found = scores(records)
    here = sum(bool(ours) for ours, _ in found.values())
    others = sum(bool(theirs) for _, theirs in found.values())
    told = tuple(number for row in found for number in published_fids(row))
    return (Said(f"{here} of {len(found)} here, {others} by others", told),)
