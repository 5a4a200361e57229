"""The table of reproductions: published FIDs beside what others and we measured of such runs."""

from __future__ import annotations

from typing import NamedTuple

from impls.common.config_files import load_config
from results.compare import newest
from results.published import Published, all_published, published
from results.schema import Record
from results.tabulate.cells import NAMES, Cell, Piece, Said, Table, estimate, joined, pieces
from results.verdict import IMAGES_PER_EPOCH, RULE, SAME_EPOCHS, Verdict, fid_verdict, rounding

# How every published FID was made, as far as it changes the score.
PUBLISHED_PROTOCOL = {"labels": ("random", "uniformly random"), "resize": ("legacy_tensorflow",)}
PAPER = published("imagenet_256")[0].source
OFFICIAL = published("official_readme")[0].source
COLUMNS = [
    "preset", "epochs", "calls", "paper", "official re-run", "others", "measured or added",
    "verdict",
]  # fmt: skip
COMMAND = (
    "`meanflow train --framework jax --config PRESET --workdir runs/PRESET"
    " --training.num-epochs=80`, then `meanflow fid-check --checkpoint runs/PRESET --vae FOLDER"
    " --inception FILE --stats FILE --record results/records`"
)


class Row(NamedTuple):
    """A run that is to be reproduced."""

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
    """FID by preset, epochs and network calls: published, by others, measured here or added."""
    scored = [record for record in records if record.what == "fid/fid"]
    rows: list[list[Cell]] = []
    for row in ROWS:
        paper, official = (_told(row, source.title) for source in (PAPER, OFFICIAL))
        here = list(newest(r for r in scored if is_of(r, row)).values())
        measured = joined("<br>", map(_measured, here)) if here else "not run"
        verdicts = "<br>".join(verdict_on(record, official or paper) for record in here)
        rows.append([
            row.preset, str(row.epochs), str(row.num_steps),
            _printed(paper), _printed(official), _others(row), measured, verdicts,
        ])  # fmt: skip
    return Table(COLUMNS, rows, [_how_to(), f"{_rule()}."], num_labels=3)


def is_of(record: Record, row: Row) -> bool:
    """Whether an FID is of such a run: preset, epochs, calls, and an unchanged objective."""
    settings = record.settings
    epochs = settings.get("epochs")
    return (
        settings.get("preset") == row.preset
        and settings.get("num_steps") == row.num_steps
        and isinstance(epochs, int)
        and abs(epochs / row.epochs - 1) < SAME_EPOCHS
        and "changes" not in settings
    )


def is_comparable(record: Record) -> bool:
    """Whether an FID was measured as the published ones were, of averaged parameters."""
    alike = (record.protocol.get(name) in known for name, known in PUBLISHED_PROTOCOL.items())
    averaged = record.settings.get("weights") != "params"
    return record.interval is not None and averaged and all(alike)


def verdict_on(record: Record, expected: Published | None) -> Verdict | str:
    """What can be said of an FID and the published one; nothing where there is none."""
    if expected is None:
        return ""
    if record.interval is None or not is_comparable(record):
        return "inconclusive"
    # A checkpoint of the authors is held against what they say of that one.
    same = [n for n in published("published_checkpoint") if n.value == record.expected]
    against = same[0] if same else expected
    num_samples = int(record.settings["num_samples"])
    return fid_verdict(record.interval, against.value, num_samples, rounding(against))


def _told(row: Row, title: str) -> Published | None:
    """The FID that a source tells of such a run, in whichever of its tables."""
    found = [
        number
        for number in all_published()
        if number.quantity == "FID"
        and number.source.title == title
        and number.group != "published_checkpoint"
        and (number.preset, number.epochs, number.setting.get("nfe")) == row
    ]
    assert len({number.value for number in found}) <= 1, f"{title} tells two FIDs of {row}"
    return found[0] if found else None


def _printed(number: Published | None) -> Piece:
    return "" if number is None else Said(f"{number.value:.{number.places}f}", (number,))


def _others(row: Row) -> Cell:
    """What other groups published of such a run, with what is different or not told."""
    said: list[Cell] = []
    for number in published("reproductions"):
        same = (number.preset, number.setting.get("nfe")) == (row.preset, row.num_steps)
        elsewhere = {r.epochs for r in ROWS if r.preset == row.preset} - {row.epochs}
        if not same or number.epochs in elsewhere:
            continue
        epochs = "epochs not told" if number.epochs is None else f"{number.epochs} epochs"
        notes = [] if number.epochs == row.epochs else [epochs]
        notes += ["balanced labels"] if number.setting.get("labels") == "balanced" else []
        note = (Said(f" ({', '.join(notes)})", (number,)),) if notes else ()
        where = f" [{number.source.title}]({number.source.url})"
        said.append((_printed(number), where, *note))
    return joined("<br>", said)


def _measured(record: Record) -> Cell:
    """By whom, the FID, and of which weights where these are not the preset's average."""
    own = f"EMA {load_config(str(record.settings['preset'])).training.ema_val:g}"
    weights = str(record.settings.get("weights", own))
    others = () if weights == own else (Said(f", {weights}", (record,)),)
    return f"{who(record)} ", estimate(record, 2), *others


def who(record: Record) -> str:
    """The framework, or the name of another group with its address."""
    if record.subject in NAMES:
        return NAMES[record.subject]
    name, url = record.subject.removeprefix("external:"), record.settings.get("url")
    return f"[{name}]({url})" if url else name


def _how_to() -> Cell:
    """What fills a row, and what that takes."""
    (batch,) = {load_config(row.preset).training.batch_size for row in ROWS}
    gflops = sorted(published("forward_gflops"), key=lambda number: number.value)
    costs = (Said(f"{n.value:g} ({n.preset})", (n,)) for n in (gflops[0], gflops[-1]))
    before = (
        f"A row is filled by {COMMAND} (without the last option of the first for the preset's own"
        " epochs, with `--num-steps 2` for two calls), or by `meanflow results add FILE`. An epoch"
        f" is {IMAGES_PER_EPOCH // batch:,} steps of batch {batch}; a forward pass is "
    )
    return before, *pieces(joined(" to ", costs)), " GFLOPs an image."


def _rule() -> str:
    return (
        f"{RULE}, with labels or resizing other than the published ones, of parameters that are no"
        " average, or without an interval."
        " Expected is the official re-run's FID, else the paper's"
    )
