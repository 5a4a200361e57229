"""Tables from records: Markdown in results/tables, and the same between markers in the README.

Nobody types a number into a table. `meanflow tables` writes them anew; `--check` finds one that
does not follow from the records.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from impls.common.config_files import load_config
from results.reading import read
from results.schema import RECORDS, Record
from results.tabulate.ablations import SCORED, ablation_order, ablations
from results.tabulate.accelerators import accelerators
from results.tabulate.cells import (
    JAX,
    NAMES,
    TORCH,
    Cell,
    Piece,
    Table,
    estimate,
    markdown,
    marked,
    with_footnote,
)
from results.tabulate.checks import verify
from results.tabulate.example import example
from results.tabulate.fid import fid
from results.tabulate.reproduction import reproduction
from results.tabulate.soak import soak

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "results" / "tables"


SCORES = ("evaluate/conditional_accuracy", "evaluate/digits_Frechet_distance", "train/seconds")
CURVES = ("train/loss", "train/v_loss")  # points of training curves, which a figure shows


def newest_digits(records: list[Record]) -> dict[tuple[str, str], dict[str, Record]]:
    """Of one-step digits, (subject, training seed) -> quantity -> its newest record.

    Of whole runs of the preset, scored as SCORED; what a record does not tell is so.
    """
    runs: dict[tuple[str, str], dict[str, Record]] = {}
    steps = load_config("digits").training.num_steps
    wanted = SCORED | {"preset": "digits", "training_step": steps}
    for record in records:
        settings = record.settings
        of_digits = all(settings.get(name, value) == value for name, value in wanted.items())
        if record.what in SCORES and of_digits and "changes" not in settings:
            seed = str(settings.get("training_seed", ""))
            runs.setdefault((record.subject, seed), {})[record.what] = record
    return runs


def digits(records: list[Record]) -> Table:
    """Scores of one-step digits by framework and training seed: the newest record of each."""
    heads = [
        "digits in one step", "seed", "conditional accuracy", "digits Frechet distance", "training",
    ]  # fmt: skip
    rows: list[list[Cell]] = []
    for (subject, seed), run in sorted(newest_digits(records).items()):
        accuracy = estimate(run.get("evaluate/conditional_accuracy"), 3)
        distance = estimate(run.get("evaluate/digits_Frechet_distance"), 2)
        name = NAMES.get(subject, subject)
        rows.append([name, seed, accuracy, distance, _minutes(run)])
    return Table(heads, rows, num_labels=2)


# What the bench holds against what, and how a reader would say it.
RATIOS = {
    "unguided sparse / flow matching": "MeanFlow, no guidance / flow matching",
    "unguided dense / flow matching": "… with the JVP in every row",
    "unguided autodiff / flow matching": "… by `torch.func.jvp`",
    "guided sparse / guided dense": "guided step / with the JVP in every row",
    "guided sparse / guided autodiff": "… / the same by `torch.func.jvp`",
    "guided sparse / guided official": "… / the authors' step, same rounds",
}
COLUMNS = {
    "JAX": (JAX, "auto"),
    "PyTorch": (TORCH, "auto"),
    "PyTorch compiled": (TORCH, "always"),
}
BENCHED = {"model": "DiT_S_4", "batch_size": 32}
XLA = "FLOPs (XLA)"
# A form of the step -> where there is no such thing.
ABSENT = {"autodiff": ("JAX", "PyTorch compiled", XLA), "official": ("PyTorch", "PyTorch compiled")}
# Quantity -> what it is of, how a reader would say it, and what it is multiplied by.
RATES = {
    "images_per_second": ("DiT_S_4 batch 64", "training, images a second, batch 64", 1),
    "utilization_ratio": ("DiT_S_4 batch 64", "… % of the FLOPs a second of a matrix product", 100),
    "peak_bytes": ("DiT_S_4 batch 64", "… peak memory, GB", 1e-9),
    "samples_per_second": ("1 step", "sampling in one step, images a second", 1),
}


def newest_overheads(records: list[Record]) -> dict[tuple[str, ...], Record]:
    """On CPUs, (subject, compile, quantity, what of) -> its newest record."""
    newest: dict[tuple[str, ...], Record] = {}
    for record in _on_cpu(records):
        settings = record.settings
        if all(settings.get(name) == value for name, value in BENCHED.items()):
            key = record.subject, str(settings.get("compile")), record.what, str(settings["of"])
            newest[key] = record
    return newest


def jvp_overhead(records: list[Record]) -> Table:
    """Time and FLOPs of a step over those of another, on CPUs: the newest record of each."""
    newest = newest_overheads(records)
    rows: list[list[Cell]] = []
    for of, name in RATIOS.items():
        cells = {
            title: estimate(newest.get((*column, "bench/step_time_ratio", of)), 2)
            for title, column in COLUMNS.items()
        }
        cells[XLA] = estimate(newest.get((*COLUMNS["JAX"], "bench/step_flops_ratio", of)), 3)
        for form, titles in ABSENT.items():
            cells |= dict.fromkeys(titles if form in of.split() else (), "")
        rows.append([name, *cells.values()])
    return Table(["one step of DiT_S_4, batch 32", *COLUMNS, XLA], rows)


def throughput(records: list[Record]) -> Table:
    """Images per second of DiT_S_4 in training and sampling, on CPUs: the newest record of each."""
    newest = {(r.subject, r.what, r.settings["of"]): r for r in _on_cpu(records)}
    rows: list[list[Cell]] = []
    for quantity, (of, name, scale) in RATES.items():
        found = [newest.get((subject, f"bench/{quantity}", of)) for subject in NAMES]
        places = 0 if scale == 100 else 1
        rows.append([name, *(estimate(record, places, scale) for record in found)])
    return Table(["DiT_S_4", *NAMES.values()], rows)


def _on_cpu(records: list[Record]) -> list[Record]:
    return [r for r in records if r.what.startswith("bench/") and r.machine["device"] == "cpu"]


def _minutes(run: dict[str, Record]) -> Piece:
    seconds = run["train/seconds"].value if "train/seconds" in run else None
    return "" if seconds is None else marked(f"{seconds / 60:.1f} min", run["train/seconds"])


ALL: dict[str, Callable[[list[Record]], Table]] = {
    "digits": digits,
    "jvp_overhead": jvp_overhead,
    "throughput": throughput,
    "reproduction": reproduction,
    "verify": verify,
    "ablation_order": ablation_order,
    "ablations": ablations,
    "fid": fid,
    "accelerators": accelerators,
    "soak": soak,
}


def write_tables(
    records: Path = RECORDS,
    tables: Path = TABLES,
    readme: Path = ROOT / "README.md",
    *,
    write: bool,
) -> list[Path]:
    """Make every table from the records; returns the files that differed.

    Args:
        write: whether these files are written.
    """
    found = read(records)
    made = {name: markdown(with_footnote(make(found))) for name, make in ALL.items()}
    wanted = {tables / f"{name}.md": content for name, content in made.items()}
    text = readme.read_text(encoding="utf-8")
    for name, content in {**made, "example": example(found)}.items():
        block = re.compile(rf"(?<=<!-- table {name} -->).*?(?=<!-- end -->)", re.DOTALL)
        text = block.sub(f"\n\n{content}\n".replace("\\", r"\\"), text)
    wanted[readme] = text
    changed = [
        path
        for path, content in wanted.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != content
    ]
    for path in changed if write else ():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8", newline="\n")
    return changed
