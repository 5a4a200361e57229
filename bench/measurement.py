"""What a bench hands over: numbers with what they depend on, and the times they came from."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest_benchmark
from pytest_benchmark.plugin import pytest_benchmark_generate_machine_info
from pytest_benchmark.stats import Stats
from pytest_benchmark.utils import get_commit_info

from bench.timer import Estimate
from impls.common.config import Config
from impls.common.config_files import config_hash
from impls.common.environment import environment, num_threads
from results.schema import Record, append, record_file

Settings = dict[str, int | float | str]


class Quantity(NamedTuple):
    """One number."""

    what: str  # with its unit in the name: jvp_overhead_ratio, step_seconds, …
    of: str  # the form of the step, or what else was measured
    estimate: Estimate | float | None  # None: not counted
    unit: str
    config: Config
    settings: Settings  # what else it depends on


@dataclass
class Measured:
    """A finished bench."""

    subject: str  # module name of the implementation
    device: str
    name: str
    quantities: list[Quantity] = field(default_factory=list)
    times: dict[str, Stats] = field(default_factory=dict)

    def value(self, what: str, of: str) -> Estimate | float | None:
        """The number of this name."""
        (found,) = (q.estimate for q in self.quantities if (q.what, q.of) == (what, of))
        return found


def write_records(found: Measured, folder: Path) -> Path:
    """Append every number with its provenance to a file of JSON lines in a folder."""
    now, where = dt.datetime.now(dt.UTC), environment()
    where["machine"] |= {"device": found.device, **num_threads()}
    records = []
    for quantity in found.quantities:
        estimate = quantity.estimate
        value = estimate.value if isinstance(estimate, Estimate) else estimate
        records.append(
            Record(
                subject=found.subject,
                what=f"bench/{quantity.what}",
                value=value,
                unit=quantity.unit,
                interval=estimate[1:] if isinstance(estimate, Estimate) else None,
                settings={"of": quantity.of, **quantity.settings},
                detail="" if value is not None else "the framework does not count it",
                dtype=str(quantity.settings.get("precision", quantity.config.training.precision)),
                config_hash=config_hash(quantity.config),
                date=now.isoformat(timespec="seconds"),
                **where,
            )
        )
    path = record_file(folder, "bench", now.isoformat())
    append(records, path)
    return path


def write_json(found: Sequence[Measured], path: Path) -> None:
    """The times in pytest-benchmark's format: `pytest-benchmark compare FILE …` reads it."""

    def plain(value: Estimate | float | None) -> Any:
        return value._asdict() if isinstance(value, Estimate) else value

    benchmarks: list[dict[str, Any]] = []
    for bench in found:
        for name, stats in bench.times.items():
            benchmarks.append(
                {
                    "group": f"{bench.name} {bench.subject}",
                    "name": name,
                    "fullname": f"{bench.name}::{bench.subject}::{name}",
                    "params": None,
                    "param": None,
                    "extra_info": {
                        q.what: plain(q.estimate) for q in bench.quantities if q.of == name
                    },
                    "options": {
                        "disable_gc": False,
                        "timer": "perf_counter",
                        "min_rounds": stats.rounds,
                        "max_time": 0,
                        "min_time": 0,
                        "warmup": True,
                    },
                    "stats": stats.as_dict() | {"data": stats.data, "iterations": 1},
                }
            )
    content = {
        "machine_info": pytest_benchmark_generate_machine_info(),
        "commit_info": get_commit_info(),
        "benchmarks": benchmarks,
        "datetime": dt.datetime.now(dt.UTC).isoformat(),
        "version": pytest_benchmark.__version__,
    }
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
