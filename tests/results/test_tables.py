"""Tables follow from records, and the README's from those that are committed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from results_records import digits_table

from meanflow_repro import main
from results.reading import read
from results.schema import RECORDS, Record, append
from results.tabulate.write import ALL, write_tables


def record(**changes: Any) -> Record:
    known = {
        "subject": "impls.meanflow_jax", "what": "evaluate/conditional_accuracy", "value": 0.99,
        "unit": "1", "interval": (0.98, 1.0), "settings": {"training_seed": 3, "num_steps": 1},
        "commit": "c", "dirty": False, "machine": {}, "python": "3", "libraries": {},
        "date": "2026-01-01",
    }  # fmt: skip
    return Record(**{**known, **changes})


def test_a_table_shows_the_newest_record_of_each_run() -> None:
    seconds = {"what": "train/seconds", "unit": "seconds", "interval": None}
    table = digits_table([record(value=0.5), record(), record(value=90, **seconds)])
    assert "| JAX | 3 | 0.990 (0.980 to 1.000) | not measured | 1.5 min |" in table
    assert "0.500" not in table


def test_a_table_of_one_step_leaves_other_numbers_of_steps_out() -> None:
    two = record(value=0.5, settings={"training_seed": 3, "num_steps": 2})
    assert "0.500" not in digits_table([record(), two])


def test_a_changed_number_is_found(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- table digits -->\nold\n<!-- end -->\nafter\n")
    append([record()], tmp_path / "records" / "a.jsonl")
    places = (tmp_path / "records", tmp_path / "tables", readme)
    written = [*(tmp_path / "tables" / f"{name}.md" for name in ALL), readme]
    assert write_tables(*places, write=True) == written
    assert readme.read_text().startswith("before\n<!-- table digits -->\n\n| digits in one step")
    assert readme.read_text().endswith("<!-- end -->\nafter\n")
    assert write_tables(*places, write=False) == []
    readme.write_text(readme.read_text().replace("0.990", "0.999"))
    assert write_tables(*places, write=False) == [readme]
    assert "0.999" in readme.read_text()


def test_the_committed_tables_follow_from_the_committed_records(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["tables", "--check"]) == 0, capsys.readouterr().out


def test_every_committed_record_is_whole() -> None:
    records = read(RECORDS)
    assert len(records) > 40
    ours = [record for record in records if not record.subject.startswith("external:")]
    assert all(len(record.commit) == 40 for record in ours)
