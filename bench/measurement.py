"""Settings and results of a bench: quantities, and the times that they were computed from."""

import datetime as dt
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest_benchmark
from pytest_benchmark.plugin import pytest_benchmark_generate_machine_info
from pytest_benchmark.stats import Stats
from pytest_benchmark.utils import get_commit_info

from bench.forms import configuration
from bench.records import provenance
from bench.timer import Estimate
from impls.common.config import Config
from impls.common.config_files import config_hash
from impls.files.writing import writable, write_whole
from results.schema import Record, Settings

Value = Estimate | float | None  # None: not counted


class Run(NamedTuple):
    """Settings of a run of benches."""

    subject: Any  # an implementation
    framework: str
    source: str | None  # a preset or a file; None: see `configuration`
    overrides: dict[str, Any]
    num_rounds: int
    forms: Sequence[str] = ()  # beside flow matching, for jvp-overhead; none: all
    models: Sequence[str] = ()  # for throughput, tpu and gpu; none: as configured
    batch_sizes: Sequence[int] = ()  # the same
    official: Path | None = None  # checkout of the authors' code, for jvp-overhead and tpu
    compiled: "Compiled | None" = None  # further settings of tpu
    precisions: Sequence[str] = ()  # for gpu; none: as configured, or float32 and bfloat16
    report: Callable[[str], None] = print  # called with progress messages

    def config(self, form: str = "guided sparse", **overrides: Any) -> Config:
        """Configuration in one of the forms, with further overrides such as model__depth=2."""
        further = {key.replace("__", "."): value for key, value in overrides.items()}
        return configuration(self.source, self.overrides | further, form)


class Compiled(NamedTuple):
    """Settings of steps that are compiled for TPUs and not run."""

    chips: Sequence[str] = ()  # names, or topologies such as v4:2x2x1; none: v4
    precisions: Sequence[str] = ()  # none: as configured, or float32 and bfloat16
    largest_batch: bool = False  # look for the largest batch that fits


class About(NamedTuple):
    """Where a quantity is from, if not from the subject and device of its bench."""

    subject: str | None = None
    device: str | None = None
    detail: str = "the framework does not count it"  # why there is no value


SAME = About()


class Quantity(NamedTuple):
    """Measured quantity."""

    what: str  # with its unit in the name: step_time_ratio, step_seconds, …
    of: str  # the form of the step, or what else was measured
    value: Value
    config: Config
    settings: Settings  # what else it depends on
    about: About = SAME

    @property
    def unit(self) -> str:
        """Unit, from the name; "1" for ratios and counts."""
        units = {"_per_second": "1/s", "_seconds": "s", "bytes": "B", "bytes_accessed": "B"}
        return next((unit for end, unit in units.items() if self.what.endswith(end)), "1")

    def record(self, **where: Any) -> Record:
        """Record of the quantity, with subject and provenance."""
        estimate = self.value if isinstance(self.value, Estimate) else (self.value,)
        value, interval = estimate[0], estimate[1:] or None
        return Record(
            what=f"bench/{self.what}",
            value=value,
            unit=self.unit,
            interval=interval,
            settings={"of": self.of, **self.settings},
            detail=self.about.detail if value is None else "",
            dtype=str(self.settings.get("precision", self.config.training.precision)),
            config_hash=config_hash(self.config),
            **where,
        )


@dataclass
class Measured:
    """Results of a bench."""

    name: str
    run: Run
    quantities: list[Quantity] = field(default_factory=list)
    times: dict[str, Stats] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """Module name of the implementation."""
        return str(self.run.subject.__name__)

    @property
    def device(self) -> str:
        """Name of the device that the implementation runs on."""
        return str(self.run.subject.device_name())

    def add(
        self, of: str, config: Config, settings: Settings, about: About = SAME, **values: Value
    ) -> None:
        """Add quantities by name."""
        for what, value in values.items():
            self.quantities.append(Quantity(what, of, value, config, settings, about))

    def value(self, what: str, of: str) -> Value:
        """Value of the quantity of this name."""
        (found,) = (q.value for q in self.quantities if (q.what, q.of) == (what, of))
        return found

    def records(self) -> list[Record]:
        """Records of every quantity."""
        devices = dict.fromkeys(q.about.device for q in self.quantities)
        where = {device: provenance(device or self.device) for device in devices}
        return [
            q.record(subject=q.about.subject or self.subject, **where[q.about.device])
            for q in self.quantities
        ]


def write_json(found: Sequence[Measured], path: Path) -> None:
    """Write the times in pytest-benchmark's format: `pytest-benchmark compare FILE …` reads it."""
    content = {
        "machine_info": pytest_benchmark_generate_machine_info(),
        "commit_info": get_commit_info(),
        "benchmarks": [
            _benchmark(bench, name, stats) for bench in found for name, stats in bench.times.items()
        ],
        "datetime": dt.datetime.now(dt.UTC).isoformat(),
        "version": pytest_benchmark.__version__,
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with writable(path):
        write_whole(path, text.encode())


def _benchmark(bench: Measured, name: str, stats: Stats) -> dict[str, Any]:
    values = {q.what: q.value for q in bench.quantities if q.of == name}
    return {
        "group": f"{bench.name} {bench.subject}",
        "name": name,
        "fullname": f"{bench.name}::{bench.subject}::{name}",
        "params": None,
        "param": None,
        "extra_info": {
            what: value._asdict() if isinstance(value, Estimate) else value
            for what, value in values.items()
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
