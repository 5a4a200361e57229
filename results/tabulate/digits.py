"""Table of digits: both scores of one-step samples, and the training time."""

from impls.common.config_files import load_config
from results.schema import Record
from results.tabulate.ablations import DISTANCE, is_scored
from results.tabulate.cells import NAMES, Cell, Piece, Table, estimate, marked, plain

ACCURACY, SECONDS = "evaluate/conditional_accuracy", "train/seconds"


def newest_digits(records: list[Record]) -> dict[tuple[str, str], dict[str, Record]]:
    """Newest records of one-step digits: (subject, training seed) -> quantity -> record.

    Only complete runs of the preset, scored as SCORED, as far as it is recorded.
    """
    runs: dict[tuple[str, str], dict[str, Record]] = {}
    steps = load_config("digits").training.num_steps
    for record in records:
        settings = record.settings
        of_digits = settings.get("preset", "digits") == "digits" and "changes" not in settings
        is_outcome = record.what in (ACCURACY, DISTANCE, SECONDS)
        if is_outcome and of_digits and is_scored(record, steps):
            seed = str(settings.get("training_seed", ""))
            runs.setdefault((record.subject, seed), {})[record.what] = record
    return runs


def digits(records: list[Record]) -> Table:
    """Table of scores of one-step digits by framework and training seed: newest records."""
    heads = [
        "digits in one step", "seed", "conditional accuracy", "digits Fréchet distance", "training",
    ]  # fmt: skip
    rows: list[list[Cell]] = []
    for (subject, seed), run in sorted(newest_digits(records).items()):
        scores = estimate(run.get(ACCURACY), 3), estimate(run.get(DISTANCE), 2)
        rows.append(
            [NAMES.get(subject) or plain(subject), plain(seed), *scores, _minutes(run.get(SECONDS))]
        )
    return Table(heads, rows, num_labels=2)


def _minutes(record: Record | None) -> Piece:
    if record is None or record.value is None:
        return ""
    return marked(f"{record.value / 60:.1f} min", record)
