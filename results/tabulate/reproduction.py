"""Table of reproductions: published FIDs beside those measured here and by others."""

from collections.abc import Sequence
from typing import NamedTuple

from impls.common.config_files import load_config
from results.compare import measurement, newest
from results.published import Published, Source, all_published, published
from results.schema import Record
from results.tabulate.cells import (
    NAMES,
    Cell,
    Said,
    Table,
    estimate,
    joined,
    linked,
    pieces,
    plain,
    printed,
)
from results.verdict import IMAGES_PER_EPOCH, RULE, SAME_EPOCHS, Verdict, fid_verdict, rounding

# Protocol of every published FID, as far as it changes the score.
PUBLISHED_PROTOCOL = {"labels": ("random", "uniformly random"), "resize": ("legacy_tensorflow",)}
PAPER = published("imagenet_256")[0].source
OFFICIAL = published("official_readme")[0].source
COLUMNS = [
    "preset", "epochs", "calls", "paper", "official re-run", "others", "measured here",
    "verdict",
]  # fmt: skip
COMMAND = (
    "`meanflow train --framework jax --config PRESET --workdir runs/PRESET"
    " --training.num-epochs=80`, then `meanflow fid-check --checkpoint runs/PRESET --vae FOLDER"
    " --inception FILE --stats FILE --record results/records`"
)


class Row(NamedTuple):
    """Row of the table: a run to reproduce."""

    preset: str
    epochs: int
    num_steps: int  # network calls for each sample


ROWS = (
    *(
        Row(preset, epochs, 1)
        for preset in ("mf_b4_no_guidance", "mf_b4_omega2", "mf_b4")
        for epochs in (80, 240)
    ),
    Row("mf_b2", 240, 1),
    Row("mf_m2", 240, 1),
    Row("mf_l2", 240, 1),
    Row("mf_xl2", 240, 1),
    Row("mf_xl2", 240, 2),
    Row("mf_xl2_plus", 1000, 2),
)


def reproduction(records: list[Record]) -> Table:
    """Table of FIDs by preset, epochs and NFE: published, by others, and measured here."""
    rows: list[list[Cell]] = []
    for row, (here, others) in scores(records).items():
        paper, official = _published_by(PAPER, row), _published_by(OFFICIAL, row)
        expected = official or paper
        measured = joined("<br>", map(_measured, here)) if here else "not run"
        of_others = joined("<br>", (_measured_elsewhere(r, row, expected) for r in others))
        verdicts = "<br>".join(verdict_on(record, expected) for record in here)
        rows.append([
            row.preset, str(row.epochs), str(row.num_steps),
            printed(paper), printed(official), of_others, measured, verdicts,
        ])  # fmt: skip
    return Table(COLUMNS, rows, [_how_to(), f"{_rule()}."], num_labels=3)


def scores(records: Sequence[Record]) -> dict[Row, tuple[list[Record], list[Record]]]:
    """Newest FIDs of each row: measured here, and by others.

    An FID of others is in the row of its epochs, else in that of the longest run of its preset.
    """
    found: dict[Row, tuple[list[Record], list[Record]]] = {row: ([], []) for row in ROWS}
    scored = (r for r in records if r.what == "fid/fid" and "changes" not in r.settings)
    for record in newest(scored, measurement).values():
        settings = record.settings
        run = settings.get("preset"), settings.get("num_steps")
        rows = [row for row in ROWS if (row.preset, row.num_steps) == run]
        same = [row for row in rows if has_epochs(record, row)]
        if record.subject in NAMES:
            for row in same:
                found[row][0].append(record)
        elif rows:
            found[max(same or rows)][1].append(record)
    return found


def has_epochs(record: Record, row: Row) -> bool:
    """True if an FID is known to be of a run of about that many epochs."""
    epochs = record.settings.get("epochs")
    return isinstance(epochs, int) and abs(epochs / row.epochs - 1) < SAME_EPOCHS


def is_comparable(record: Record, *, untold: bool = False) -> bool:
    """True if an FID was measured by the protocol of published ones, with EMA parameters.

    Args:
        untold: result if the protocol is not recorded.
    """
    alike = (
        untold if (found := record.protocol.get(name, "unknown")) == "unknown" else found in known
        for name, known in PUBLISHED_PROTOCOL.items()
    )
    return record.settings.get("weights") != "params" and all(alike)


def verdict_on(record: Record, expected: Published | None) -> Verdict | str:
    """Verdict on an FID beside the published one; "" if there is none."""
    if expected is None:
        return ""
    if record.interval is None or not is_comparable(record):
        return "inconclusive"
    # A checkpoint of the authors is compared with their FID of that checkpoint.
    same = [n for n in published("published_checkpoint") if n.value == record.expected]
    against = same[0] if same else expected
    num_samples = int(record.settings["num_samples"])
    return fid_verdict(record.interval, against.value, num_samples, rounding(against))


def published_fids(row: Row) -> list[Published]:
    """FIDs that the authors published of such a run, in any of their tables."""
    return [
        number
        for number in all_published()
        if number.quantity == "FID"
        and (number.preset, number.epochs, number.setting.get("nfe")) == row
    ]


def _published_by(source: Source, row: Row) -> Published | None:
    """FID that a source published of a run of that setting, not of a checkpoint."""
    numbers = [n for n in published_fids(row) if n.source == source]
    found = [number for number in numbers if number.group != "published_checkpoint"]
    values = {number.value for number in found}
    assert len(values) <= 1, f"{source.title} has two FIDs of {row}"
    return found[0] if found else None


def _measured(record: Record) -> Cell:
    """Cell of an FID measured here: framework, FID, and weights if they are not the preset's."""
    others = (Said(f", {weights}", (record,)) for weights in _other_weights(record))
    return f"{who(record)} ", estimate(record, 2), *others


def _measured_elsewhere(record: Record, row: Row, expected: Published | None) -> Cell:
    """Cell of an FID of others: FID, source, differing or unknown settings, verdict."""
    epochs = record.settings.get("epochs")
    notes = [f"{epochs} epochs" if isinstance(epochs, int) else "epochs unknown"]
    notes = [] if has_epochs(record, row) else notes
    notes += ["balanced labels"] if record.protocol.get("labels") == "balanced" else []
    notes += _other_weights(record)
    said = verdict_on(record, expected)
    notes += [said] if said != "inconclusive" and has_epochs(record, row) else []
    note = (Said(f" ({', '.join(notes)})", (record,)),) if notes else ()
    return estimate(record, 2), f" {who(record)}", *note


def _other_weights(record: Record) -> list[str]:
    """Weights that were scored, if they are known and are not the preset's EMA."""
    own = f"EMA {load_config(str(record.settings['preset'])).training.ema_val:g}"
    weights = str(record.settings.get("weights", own))
    return [] if weights in (own, "unknown") else [plain(weights)]


def who(record: Record) -> str:
    """Framework, or the name of another group with its address."""
    if record.subject in NAMES:
        return NAMES[record.subject]
    return linked(record.subject.removeprefix("external:"), str(record.settings.get("url", "")))


def _how_to() -> Cell:
    """Note on how to fill a row, and its cost."""
    (batch,) = {load_config(row.preset).training.batch_size for row in ROWS}
    gflops = sorted(published("forward_gflops"), key=lambda number: number.value)
    costs = (Said(f"{n.value:g} ({n.preset})", (n,)) for n in (gflops[0], gflops[-1]))
    before = (
        f"A row is filled by {COMMAND} (without the last option of the first for the preset's own"
        " epochs, with `--num-steps 2` for two calls), or by `meanflow results add FILE`. An epoch"
        f" is {IMAGES_PER_EPOCH // batch:,} steps of batch {batch}; a forward pass is "
    )
    return before, *pieces(joined(" to ", costs)), " GFLOPs per image."


def _rule() -> str:
    return (
        f"{RULE}, with other labels or resizing than published FIDs, of parameters that are not"
        " average, or without an interval."
        " Expected is the official re-run's FID, else the paper's"
    )
