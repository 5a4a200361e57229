"""Table of FIDs: each scored checkpoint, by framework, beside the expected value."""

from results.compare import newest
from results.published import Published, all_published, published
from results.schema import Record
from results.tabulate.cells import NAMES, Cell, Said, Table, estimate, plain, printed
from results.tabulate.reproduction import verdict_on
from results.verdict import PUBLISHED_SAMPLES

COLUMNS = [
    "checkpoint", "by", "samples", "FID (95 % interval)", "expected", "difference", "verdict",
    "protocol",
]  # fmt: skip
COMMAND = (
    "`nox -s fid-check -- --checkpoint checkpoint_1200000 --vae sd-vae-ft-mse --inception"
    " inception-2015-12-05.pt --stats imagenet_256_fid_stats.npz`"
)


def fid(records: list[Record]) -> Table:
    """Table of the newest FID of each checkpoint by framework, with its protocol in words."""
    scored = [
        record
        for record in records
        if record.what == "fid/fid" and record.subject in NAMES and "preset" in record.settings
    ]
    rows = [_row(record) for record in newest(scored).values()]
    return Table(COLUMNS, rows or [["not measured"]], [] if rows else [_how_to()], num_labels=2)


def _row(record: Record) -> list[Cell]:
    settings, expected = record.settings, _expected(record)
    difference: Cell = ""
    if record.value is not None and record.expected:
        share = 100 * (record.value / record.expected - 1)
        difference = Said(f"{share:+.1f} %", (record,))
    return [
        Said(plain(_checkpoint(record)), (record,)),
        NAMES[record.subject],
        Said(f"{settings['num_samples']:,}", (record,)),
        estimate(record, 2),
        printed(expected),
        difference,
        verdict_on(record, expected),
        Said(plain(_protocol(record)), (record,)),
    ]


def _checkpoint(record: Record) -> str:
    """Preset, epochs, NFE and weights, as far as they are recorded."""
    settings = record.settings
    words = {"epochs": "epochs", "num_steps": "calls"}
    known = (f"{settings[name]} {word}" for name, word in words.items() if name in settings)
    others = (str(settings[name]) for name in ("weights", "changes") if name in settings)
    return ", ".join((str(settings["preset"]), *known, *others))


def _expected(record: Record) -> Published | None:
    """Published number that a record is compared with."""
    key = "FID", record.settings["preset"], record.expected
    same = (n for n in all_published() if (n.quantity, n.preset, n.value) == key)
    return next(same, None)


def _protocol(record: Record) -> str:
    words = {"labels": "{} labels", "uint8": "{}", "resize": "resized as {}"}
    said = [form.format(record.protocol[k]) for k, form in words.items() if k in record.protocol]
    return "; ".join(said) or "unknown"


def _how_to() -> Cell:
    """Note on how to measure: command, files and cost."""
    (checkpoint,) = published("published_checkpoint")
    cost = next(n for n in published("forward_gflops") if n.preset == checkpoint.preset)
    before = (
        f"Measured by {COMMAND}, which takes the authors' checkpoint, the autoencoder's folder,"
        " Inception's weights and the reference statistics. With each framework it makes"
        f" {PUBLISHED_SAMPLES:,} images, each a forward pass of "
    )
    after = " GFLOPs, the far larger decoder and Inception, so use a GPU. Expected is "
    return before, Said(f"{cost.value:g}", (cost,)), after, printed(checkpoint), "."
