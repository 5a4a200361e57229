"""Comparison of records: of two commits, of two machines, and of the newest with earlier ones.

Two records are comparable when subject, quantity, dtype and settings are the same. A value changed
when the two 95 % intervals are disjoint; if only one has an interval, when the other lies outside
it; if neither has one (it was counted), when the values differ.
"""

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from impls.common.errors import UserError, did_you_mean
from results.schema import Record

# Settings that say how well something was measured, or of which weights, not what was measured.
NOT_COMPARED = (
    "num_rounds", "standard_error", "bias", "params_sha256", "split_deviation", "url",
)  # fmt: skip
COUNTED = 1e-6  # relative difference up to which counted numbers are the same
LAST = 3  # records that a newest one must be worse than, each of them
# Relative gap between intervals that was observed for two runs of the same code.
BETWEEN_RUNS = 0.05
HIGHER_IS_BETTER = ("utilization_ratio", "mfu_ratio")  # of the bench's ratios; else lower is
TIMES = ("s", "seconds", "1/s")
THREADS = ("num_usable_cpus", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS")

Key = tuple[str, ...]


class Pair(NamedTuple):
    """Two comparable records."""

    old: Record
    new: Record


class Difference(NamedTuple):
    """Comparison of two sets of records."""

    compared: list[Pair]
    moved: list[Pair]
    not_compared: dict[str, list[Record]]  # why -> the records


def comparison_key(record: Record) -> Key:
    """Key of comparable records: subject, quantity, dtype and settings, without the protocol."""
    settings = (f"{k}={v}" for k, v in sorted(record.settings.items()) if k not in NOT_COMPARED)
    return (record.subject, record.what, record.dtype, *settings)


def measurement(record: Record) -> Key:
    """Key that records of the same quantity by the same protocol share."""
    return (*comparison_key(record), *(f"{k}={v}" for k, v in sorted(record.protocol.items())))


def machine_class(record: Record) -> str:
    """Processor, device and threads, which a time depends on."""
    machine = record.machine
    threads = (f"{name} {machine[name]}" for name in THREADS if name in machine)
    return ", ".join(filter(None, (machine_name(record), *threads)))


def machine_name(record: Record) -> str:
    """Name of the accelerator if there is one, else of the processor."""
    on_processor = record.device in ("", "cpu")
    return str(record.machine.get("processor", "unknown")) if on_processor else record.device


def origin(record: Record) -> str:
    """Origin of a record in words: day, commit and machine."""
    return f"{record.date[:10]}, commit {record.commit[:7]}, {machine_name(record)}"


def newest(
    records: Iterable[Record], key: Callable[[Record], Key] = comparison_key
) -> dict[Key, Record]:
    """Newest record of each key; records must be sorted by date."""
    return {key(record): record for record in records}


def matching(records: Sequence[Record], what: str, subject: str) -> list[Record]:
    """Records with a part of quantity and subject that matches shell patterns.

    Raises:
        UserError: when there is none, naming the quantities that there are.
    """
    found = [record for record in records if fnmatch.fnmatch(record.what, f"*{what}*")]
    found = [record for record in found if fnmatch.fnmatch(record.subject, f"*{subject}*")]
    if records and not found:
        kinds = ", ".join(sorted({record.what.split("/")[0] for record in records}))
        subjects = ", ".join(sorted({record.subject for record in records}))
        raise UserError(
            f"no record has a quantity like {what} and a subject like {subject}: quantities start"
            f" with {kinds}, and subjects are {subjects}"
        )
    return found


def moved(old: Record, new: Record) -> bool:
    """True if the values of two comparable records differ beyond their intervals.

    A check (a record with a tolerance) changed when it passes in one record and fails in the other.
    """
    if old.tolerance is not None or new.tolerance is not None:
        return passes(old) != passes(new)
    assert old.value is not None
    assert new.value is not None
    if old.interval is None and new.interval is None:
        return abs(new.value - old.value) > COUNTED * abs(old.value)
    (low, high), (new_low, new_high) = _bounds(old), _bounds(new)
    return new_low > high or new_high < low


def passes(record: Record) -> bool:
    """True if a check's error is within its tolerance; false if it has no value."""
    value, tolerance = record.value, record.tolerance
    return value is not None and tolerance is not None and value <= tolerance


def difference(records: Sequence[Record], old: str, new: str) -> Difference:
    """Comparison of the newest records of two commits or two machines.

    Args:
        old: the beginning of a commit hash, or part of a machine's name; likewise `new`.

    Raises:
        UserError: when one of the two is neither.
    """
    sides, by_machine = _sides(records, old, new)
    first, second = (newest(side) for side in sides)
    compared: list[Pair] = []
    absent: dict[str, list[Record]] = {}
    for key in first | second:
        if key not in first or key not in second:
            reason = f"only {old if key in first else new} has it"
        else:
            reason = _obstacle(first[key], second[key], by_machine)
        if reason:
            absent.setdefault(reason, []).append(first.get(key) or second[key])
        else:
            compared.append(Pair(first[key], second[key]))
    return Difference(compared, [pair for pair in compared if moved(*pair)], absent)


def regressions(records: Iterable[Record]) -> tuple[list[Pair], list[Pair]]:
    """Regressions: the bench's ratios compared with the last ones of the same machine class.

    A ratio got worse when its interval lies beyond those of each of the last LAST records; a ratio
    of times also by more than BETWEEN_RUNS, since an interval is over the rounds of one process,
    and two processes of the same code differ by more.

    Returns:
        Pairs of each newest record and the one before it, and those that got worse.
    """
    series: dict[Key, list[Record]] = {}
    for record in records:
        is_ratio = record.what.startswith("bench/") and record.what.endswith("_ratio")
        if is_ratio and record.value is not None:
            key = (*comparison_key(record), machine_class(record))
            series.setdefault(key, []).append(record)
    pairs, worse = [], []
    for found in series.values():
        *before, new = found[-1 - LAST :]
        if before:
            pairs.append(Pair(before[-1], new))
        if before and all(_is_worse(Pair(old, new)) for old in before):
            worse.append(pairs[-1])
    return pairs, worse


def _is_worse(pair: Pair) -> bool:
    if not moved(*pair):
        return False
    old, new = _bounds(pair.old), _bounds(pair.new)
    counted = pair.old.interval is None and pair.new.interval is None
    room = 1 if counted else 1 + BETWEEN_RUNS
    if pair.new.what.endswith(HIGHER_IS_BETTER):
        return new[1] * room < old[0]
    return new[0] > old[1] * room


def _bounds(record: Record) -> tuple[float, float]:
    assert record.value is not None
    return record.interval or (record.value, record.value)


def _obstacle(old: Record, new: Record, by_machine: bool) -> str:
    """Reason why two records are not comparable; "" if they are."""
    if old.protocol != new.protocol:
        names = {name for name, _ in old.protocol.items() ^ new.protocol.items()}
        return f"another protocol ({', '.join(sorted(names))})"
    if old.unit != new.unit:
        return "another unit"
    is_check = old.tolerance is not None or new.tolerance is not None
    if not is_check and (old.value is None or new.value is None):
        return "one of the two has no number"
    if old.interval is None and new.interval is None and old.unit in TIMES:
        return "a time without an interval"
    timed = old.what.startswith(("bench/", "train/"))
    if timed and not by_machine and machine_class(old) != machine_class(new):
        return "another machine or number of threads"
    return ""


def _sides(records: Sequence[Record], old: str, new: str) -> tuple[list[list[Record]], bool]:
    """Records of both commits or machines, and whether they are machines."""
    by_commit = [
        [record for record in records if len(prefix) >= 4 and record.commit.startswith(prefix)]
        for prefix in (old, new)
    ]
    by_machine = [
        [record for record in records if name.lower() in machine_name(record).lower()]
        for name in (old, new)
    ]
    for name, commits, machines in zip((old, new), by_commit, by_machine, strict=True):
        if not commits and not machines:
            known = sorted({record.commit[:8] for record in records})
            names = sorted({machine_name(record) for record in records})
            raise UserError(
                f"{name} is neither the beginning of a commit with records ({', '.join(known)}) nor"
                f" part of the name of a machine ({', '.join(names)}){did_you_mean(name, names)}"
            )
    for chosen in (by_commit, by_machine):
        if all(chosen):
            return chosen, chosen is by_machine
    raise UserError(f"{old} and {new} are a commit and a machine: name two of one kind")
