"""Tables of small images: both scores of one-step samples, and the training time."""

from impls.common.config_files import load_config
from impls.fid.small_images import DATA_SETS
from results.schema import Record
from results.tabulate.ablations import NOT_MEASURED, is_scored
from results.tabulate.cells import NAMES, Cell, Piece, Table, estimate, marked, plain

ACCURACY, SECONDS = "evaluate/conditional_accuracy", "train/seconds"

Runs = dict[tuple[str, str], dict[str, Record]]  # (subject, training seed) -> quantity -> record


def distance_of(data_set: str) -> str:
    """Quantity of the records of a data set's Fréchet distance."""
    return f"evaluate/{data_set}_Frechet_distance"


def newest_scores(records: list[Record], preset: str) -> Runs:
    """Newest records of one-step samples of a preset, and of the real images of its data set.

    Only complete runs, scored as SCORED, as far as it is recorded. Of runs on copies of the data
    set with different numbers of images, those with the most are taken.
    """
    config = load_config(preset)
    steps, data_set = config.training.num_steps, config.dataset.kind
    outcomes = ACCURACY, distance_of(data_set), SECONDS
    found = [
        record
        for record in records
        if record.what in outcomes and _is_of(record, preset, data_set) and is_scored(record, steps)
    ]
    most = max((_num_images(record) for record in found), default=0)
    runs: Runs = {}
    for record in found:
        if _num_images(record) == most:
            seed = str(record.settings.get("training_seed", ""))
            runs.setdefault((record.subject, seed), {})[record.what] = record
    return runs


def digits(records: list[Record]) -> Table:
    """Table of scores of one-step digits by framework and training seed: newest records."""
    return _table(records, "digits")


def mnist(records: list[Record]) -> Table:
    """Table of scores of one-step MNIST by framework and training seed: newest records."""
    return _table(records, "mnist")


def _is_of(record: Record, preset: str, data_set: str) -> bool:
    """True if a record is of a preset, or of the real images of its data set.

    Records of real digits, and old ones of the preset digits, name neither.
    """
    settings = record.settings
    if "changes" in settings:
        return False
    if "preset" in settings:
        return settings["preset"] == preset
    return settings.get("dataset", "digits") == data_set


def _num_images(record: Record) -> int:
    return int(record.settings.get("num_images", 0))


def _table(records: list[Record], preset: str) -> Table:
    """Table of a preset's scores, with the number of training images below it if it varies."""
    data_set = load_config(preset).dataset.kind
    title, runs = DATA_SETS[data_set].title, newest_scores(records, preset)
    heads = [
        f"{title} in one step", "seed", "conditional accuracy", f"{title} Fréchet distance",
        "training",
    ]  # fmt: skip
    rows: list[list[Cell]] = []
    for (subject, seed), run in sorted(runs.items()):
        scores = estimate(run.get(ACCURACY), 3), estimate(run.get(distance_of(data_set)), 2)
        name = NAMES.get(subject) or plain(subject)
        rows.append([name, plain(seed), *scores, _minutes(run.get(SECONDS))])
    used = [record for run in runs.values() for record in run.values()]
    return Table(heads, rows or [[NOT_MEASURED]], _part(used, data_set), num_labels=2)


def _part(used: list[Record], data_set: str) -> list[Cell]:
    """Sentence on the part of the published training images in a run's data set."""
    title, published = DATA_SETS[data_set].title, DATA_SETS[data_set].num_published
    if not published or not used:
        return []
    return [marked(f"{title}, {_num_images(used[0]):,} of {published:,} training images", *used)]


def _minutes(record: Record | None) -> Piece:
    if record is None or record.value is None:
        return ""
    return marked(f"{record.value / 60:.1f} min", record)
