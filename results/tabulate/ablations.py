"""Tables of the paper's ablations (Table 1) beside ours on digits: distances and their order.

A run of ours is a preset `ablation/…` with one seed in one framework, and its outcome the digits
Fréchet distance of one-step samples. Two presets are compared by the differences of runs with the
same seed, which have the same batches and noise: their mean with a 95 % interval of Student's t. A
difference is decided if that interval excludes zero, and open otherwise.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import stats

from impls.common.config_files import load_config
from results.published import Published, published
from results.schema import Record, Settings
from results.tabulate.cells import NAMES, Cell, Piece, Said, Table, joined, marked, pieces, printed

# Group of published.yml -> what is varied.
GROUPS = {
    "share_of_r_not_t": "(a) share of r != t",
    "tangent": "(b) tangent of the JVP",
    "embedding": "(c) embedded times",
    "time_sampler": "(d) distribution of times",
    "loss_power": "(e) p of the weight",
}
DISTANCE = "evaluate/digits_Frechet_distance"
DEFAULT = "ablation/default"
# What the outcome of a run is measured of; `meanflow evaluate` can record other scores of it.
SCORED: Settings = {"num_samples": 1000, "num_steps": 1, "sampling_seed": 0, "weights": "ema"}
CURVES = ("train/loss", "train/v_loss")  # points of training curves, which a figure shows
NOT_MEASURED = "not measured"
LEVEL = 0.95

Runs = dict[int, Record]  # seed -> record
Measured = dict[tuple[str, str], Runs]  # (subject, preset) -> runs


class Difference(NamedTuple):
    """Difference of two presets, one minus the other, over the seeds that both have."""

    mean: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """Sign: 1 or -1 if it is decided, 0 if it is open."""
        return int(self.low > 0) - int(self.high < 0)


class Order(NamedTuple):
    """Pairs of a group by their order: as in the paper, open, or reversed."""

    kept: int
    open: int
    turned: list[tuple[Published, Published]]  # the first is better here, the second in the paper
    tau: float  # Kendall's, of the means


def measured(records: Sequence[Record], presets: Iterable[str] = ()) -> Measured:
    """Newest record of each preset, framework and seed, of a complete run scored as SCORED.

    Args:
        presets: which ones; those of the ablations by default.
    """
    found: Measured = {}
    presets = set(presets) or {str(row.small) for group in GROUPS for row in published(group)}
    steps = {preset: load_config(preset).training.num_steps for preset in presets}
    for record in records:
        preset = str(record.settings.get("preset", ""))
        if record.what == DISTANCE and preset in presets and is_scored(record, steps[preset]):
            seed = int(record.settings["training_seed"])
            found.setdefault((record.subject, preset), {})[seed] = record
    return found


def is_scored(record: Record, num_steps: int | None) -> bool:
    """True if a score is of a complete run and measured as SCORED, as far as it is recorded.

    A run without a score has no samples, so its record lacks some of these settings.
    """
    wanted = SCORED | {"training_step": num_steps}
    return all(record.settings.get(name, value) == value for name, value in wanted.items())


def mean(runs: Runs) -> float:
    """Mean distance; infinite if a run has none."""
    return float(np.mean([_value(record) for record in runs.values()]))


def difference(one: Runs, other: Runs) -> Difference:
    """Paired difference `one` minus `other`, by seed; open if there is only one seed."""
    seeds = sorted(set(one) & set(other))
    pairs = [(_value(one[seed]), _value(other[seed])) for seed in seeds]
    if any(math.inf in pair for pair in pairs):  # a run without a score is worse than any
        lost, kept = (math.inf in column for column in zip(*pairs, strict=True))
        size = math.inf * (lost - kept) if lost != kept else math.nan
        return Difference(size, size, size) if len(pairs) > 1 else _open(size)
    gaps = np.array([a - b for a, b in pairs])
    if len(gaps) < 2:
        return _open(float(gaps.mean()) if len(gaps) else math.nan)
    half = stats.t.ppf((1 + LEVEL) / 2, len(gaps) - 1) * gaps.std(ddof=1) / math.sqrt(len(gaps))
    return Difference(float(gaps.mean()), float(gaps.mean() - half), float(gaps.mean() + half))


def _open(gap: float) -> Difference:
    """Open difference with the gap of one seed and no interval."""
    return Difference(gap, -math.inf, math.inf)


def order(rows: Sequence[Published], runs: dict[str, Runs]) -> Order:
    """Order of the presets of a group, compared with the paper's FIDs."""
    signs, turned = [], []
    for better, worse in combinations(sorted(rows, key=lambda row: row.value), 2):
        sign = difference(runs[str(worse.small)], runs[str(better.small)]).sign
        signs.append(sign)
        turned += [(worse, better)] if sign < 0 else []
    means = [mean(runs[str(row.small)]) for row in rows]
    tau = float(stats.kendalltau([row.value for row in rows], means).statistic)
    return Order(signs.count(1), signs.count(0), turned, tau)


def ablations(records: list[Record]) -> Table:
    """Table of each row of Table 1 (a) to (e): FID of the paper, our distances, differences."""
    found = measured(records)
    names = NAMES.values()
    heads = ["varied", "setting", "FID, paper", *names, *(f"{n}, minus the default" for n in names)]
    rows: list[list[Cell]] = []
    for group, title in GROUPS.items():
        for row in published(group):
            runs = [found.get((subject, str(row.small)), {}) for subject in NAMES]
            gaps = [
                "" if row.small == DEFAULT else gap_cell(of, found.get((subject, DEFAULT), {}))
                for subject, of in zip(NAMES, runs, strict=True)
            ]
            rows.append([title, setting_of(row), printed(row), *map(mean_cell, runs), *gaps])
    return Table(heads, rows, [HOW])


HOW = (
    "Ours: digits Fréchet distance of one-step samples, the mean over the seeds (lowest to"
    " highest), and its difference from the default preset of each seed, with the 95 % interval of"
    " Student's t. A run that does not stay finite counts as worse than any other. The paper: FID"
    " of DiT_B_4 on ImageNet. `nox -s ablations` trains all of it."
)


def ablation_order(records: list[Record]) -> Table:
    """Table of each part of Table 1: best setting there and here, and pairs in the same order."""
    found = measured(records)
    heads = ["Table 1", "best in the paper"]
    heads += [f"best, {name}" for name in NAMES.values()]
    heads += [f"pairs in that order / open / reversed; tau, {name}" for name in NAMES.values()]
    rows: list[list[Cell]] = []
    turned: list[Said] = []
    for group, title in GROUPS.items():
        listed = published(group)
        first = min(listed, key=lambda row: row.value)
        bests: list[Cell] = []
        orders: list[Cell] = []
        for subject, name in NAMES.items():
            runs = {str(row.small): found.get((subject, str(row.small)), {}) for row in listed}
            if not all(runs.values()):
                bests.append(NOT_MEASURED)
                orders.append(NOT_MEASURED)
                continue
            as_there = order(listed, runs)
            bests.append(_best(listed, runs))
            orders.append(_order(as_there, runs))
            for pair in as_there.turned:
                here, there = (setting_of(row).text for row in pair)
                turned.append(Said(f"{title[:3]} {here} before {there} ({name})", pair))
        rows.append([title, setting_of(first), *bests, *orders])
    said = pieces(joined("; ", turned)) if turned else ("none",)
    return Table(heads, rows, [ORDER, ("Reversed pairs: ", *said, ".")])


ORDER = (
    "A pair of settings is open if the 95 % interval of their difference contains zero; tau is"
    " Kendall's rank correlation of our means with the paper's FIDs. Where the best setting here is"
    " not the paper's, its lead is given, and whether it is open. The intervals are not corrected"
    " for the number of pairs, so one pair or another may be decided by chance."
)


def _value(record: Record) -> float:
    return math.inf if record.value is None else record.value


def setting_of(row: Published) -> Said:
    """Setting of a row, as the paper writes it."""
    (name,) = set(row.setting) - {"model", "data", "nfe"}
    value = row.setting[name]
    if name == "share":
        return Said(f"{100 * float(value):.0f} %", (row,))
    return Said(value if isinstance(value, str) else f"{value:g}", (row,))


def mean_cell(runs: Runs) -> Piece:
    """The mean of some runs, with the lowest and the highest."""
    if not runs:
        return NOT_MEASURED
    values = [_value(record) for record in runs.values()]
    if math.inf in values:
        return marked("not finite", *runs.values())
    said = f"{mean(runs):.2f} ({min(values):.2f} to {max(values):.2f})"
    return marked(said, *runs.values())


def gap_cell(one: Runs, other: Runs) -> Piece:
    """The difference of some runs from others, with its interval."""
    if not set(one) & set(other):
        return NOT_MEASURED
    gap, sources = difference(one, other), (*one.values(), *other.values())
    if not math.isfinite(gap.mean):
        return marked("not finite", *sources)
    return marked(_interval(gap), *sources)


def _interval(gap: Difference) -> str:
    said = f"{gap.mean:+.2f}"
    return f"{said} ({gap.low:+.2f} to {gap.high:+.2f})" if math.isfinite(gap.low) else said


def _best(rows: Sequence[Published], runs: dict[str, Runs]) -> Piece:
    """Setting of the smallest mean, with its lead if the paper has another."""
    first = min(rows, key=lambda row: row.value)
    best = min(rows, key=lambda row: mean(runs[str(row.small)]))
    of_best, of_first = runs[str(best.small)], runs[str(first.small)]
    said = setting_of(best).text
    if best == first:
        return marked(said, *of_best.values(), best)
    gap = difference(of_best, of_first)
    by = f", by {_interval(gap)}" if math.isfinite(gap.mean) else ""
    lead = f"{said}{by}: {'open' if gap.sign == 0 else 'decided'}"
    return marked(lead, *of_best.values(), *of_first.values(), best)


def _order(found: Order, runs: dict[str, Runs]) -> Piece:
    said = f"{found.kept} / {found.open} / {len(found.turned)}; {found.tau:.2f}"
    return marked(said, *(record for row in runs.values() for record in row.values()))
