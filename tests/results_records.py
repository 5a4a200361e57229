"""Records for tests, and the end of a command that a user has to mend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meanflow_repro import main
from results.schema import Record
from results.tabulate import accelerators, checks, reproduction, write
from results.tabulate import fid as fid_scores
from results.tabulate.cells import Table, markdown

MACHINE = {"processor": "Example CPU", "device": "cpu", "num_usable_cpus": 2}
PROTOCOL = {"labels": "uniformly random", "resize": "legacy_tensorflow"}


def record(**changes: Any) -> Record:
    known = {
        "subject": "impls.meanflow_jax", "what": "bench/step_time_ratio", "value": 1.2,
        "unit": "1", "interval": (1.1, 1.3), "settings": {"of": "guided / plain"},
        "commit": "a" * 40, "dirty": False, "machine": MACHINE, "python": "3.11",
        "libraries": {"numpy": "2"}, "date": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return Record(**{**known, **changes})


def fid(**changes: Any) -> Record:
    """An FID of a run of 240 epochs of mf_b4, in one step."""
    settings = {"preset": "mf_b4", "epochs": 240, "num_steps": 1, "num_samples": 50_000}
    known = {
        "what": "fid/fid", "value": 11.4, "interval": (11.36, 11.44), "protocol": PROTOCOL,
        "settings": settings | changes.pop("settings", {}),
    }  # fmt: skip
    return record(**{**known, **changes})


def in_markdown(make: Callable[[list[Record]], Table]) -> Callable[[list[Record]], str]:
    """What makes a table, and prints it."""
    return lambda records: markdown(make(records))


digits_table = in_markdown(write.digits)
overhead_table = in_markdown(write.jvp_overhead)
throughput_table = in_markdown(write.throughput)
reproduction_table = in_markdown(reproduction.reproduction)
verify_table = in_markdown(checks.verify)
fid_table = in_markdown(fid_scores.fid)
accelerators_table = in_markdown(accelerators.accelerators)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command says that ends with status 2: one line."""
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    return said
