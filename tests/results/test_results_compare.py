"""Comparison of records: changes, regressions, and what is not comparable."""

import importlib
from pathlib import Path
from unittest.mock import Mock

import pytest
from results_records import MACHINE, PROTOCOL, fid, record, refused

from meanflow_repro import main
from results.compare import difference, machine_class, moved, newest, regressions
from results.reading import read
from results.schema import append

LATER = {"commit": "b" * 40, "date": "2026-01-02T00:00:00+00:00"}


def later(**changes):
    return record(**{**LATER, **changes})


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ((1.2, (1.1, 1.3)), (1.25, (1.2, 1.4)), False),
        ((1.2, (1.1, 1.3)), (1.35, (1.3, 1.4)), False),  # they touch
        ((1.2, (1.1, 1.3)), (1.4, (1.31, 1.5)), True),
        ((1.2, (1.1, 1.3)), (1.0, (0.9, 1.09)), True),
        ((1.2, (1.1, 1.3)), (1.29, None), False),
        ((1.2, (1.1, 1.3)), (1.31, None), True),
        ((0.751, None), (0.751, None), False),
        ((0.751, None), (0.752, None), True),
    ],
)
def test_a_number_moved_when_the_intervals_have_no_point_in_common(old, new, expected):
    pair = [record(value=value, interval=interval) for value, interval in (old, new)]
    assert moved(*pair) is expected
    assert moved(*reversed(pair)) is expected


def test_a_check_moved_when_it_passes_in_one_alone():
    known = {"what": "verify/jvp/x", "interval": None, "tolerance": 1e-6}
    passing, other, failing = (record(value=v, **known) for v in (1e-7, 9e-7, 2e-6))
    broken = record(value=None, **known)
    assert not moved(passing, other)
    assert moved(passing, failing)
    assert moved(broken, passing)
    assert not moved(broken, failing)


@pytest.mark.parametrize(
    ("changes", "values"),
    [
        ({}, [1.25]),
        ({"settings": {"of": "guided / plain", "num_rounds": 7}}, [1.25]),
        ({"settings": {"of": "guided / plain", "batch_size": 4}}, [1.2, 1.25]),
        ({"dtype": "bfloat16"}, [1.2, 1.25]),
        ({"subject": "x"}, [1.2, 1.25]),
    ],
)
def test_the_newest_counts_of_each_number_however_well_it_was_measured(changes, values):
    found = newest([record(), later(value=1.25, **changes)])
    assert [one.value for one in found.values()] == values


# Two commits, two machines


def test_two_commits_are_compared_by_their_beginnings():
    records = [
        record(), record(what="bench/step_flops", value=3e9, interval=None),
        record(what="bench/peak_bytes", value=1.0, unit="B"), record(what="bench/old_ratio"),
        record(what="bench/compile_seconds", value=3.0, interval=None, unit="s"), fid(),
        record(what="bench/gone_ratio"), record(what="bench/moved_ratio"),
        later(), later(what="bench/step_flops", value=3e9, interval=None),
        later(what="bench/peak_bytes", value=1.0), later(what="bench/new_ratio"),
        later(what="bench/compile_seconds", value=4.0, interval=None, unit="s"),
        fid(**LATER, protocol={"labels": "balanced", "resize": "legacy_tensorflow"}),
        later(what="bench/gone_ratio", value=None, interval=None),
        later(what="bench/moved_ratio", value=1.0, interval=(0.9, 1.05)),
    ]  # fmt: skip
    found = difference(records, "aaaa", "bbbbbbb")
    assert [pair.new.what for pair in found.compared] == [
        "bench/step_time_ratio", "bench/step_flops", "bench/moved_ratio",
    ]  # fmt: skip
    assert [pair.new.what for pair in found.moved] == ["bench/moved_ratio"]
    assert {why: [r.what for r in rows] for why, rows in found.not_compared.items()} == {
        "another unit": ["bench/peak_bytes"],
        "only aaaa has it": ["bench/old_ratio"],
        "a time without an interval": ["bench/compile_seconds"],
        "another protocol (labels)": ["fid/fid"],
        "one of the two has no number": ["bench/gone_ratio"],
        "only bbbbbbb has it": ["bench/new_ratio"],
    }


def test_times_of_two_machines_are_compared_only_when_the_machines_are():
    gpu = MACHINE | {"device": "NVIDIA H200"}
    records = [record(), later(machine=gpu, value=2.0, interval=(1.9, 2.1))]
    by_commit = difference(records, "aaaa", "bbbb")
    assert list(by_commit.not_compared) == ["another machine or number of threads"]
    by_machine = difference(records, "example cpu", "h200")
    assert len(by_machine.moved) == 1
    assert not by_machine.not_compared


def test_threads_belong_to_the_class_of_a_machine():
    few, many = record(), record(machine=MACHINE | {"num_usable_cpus": 8})
    single = record(machine=MACHINE | {"OMP_NUM_THREADS": "1"})
    assert len({machine_class(one) for one in (few, many, single, later())}) == 3


@pytest.mark.parametrize(
    ("sides", "says"),
    [
        (("aaaa", "cccc"), "cccc is neither the beginning of a commit with records (aaaaaaaa, bbb"),
        (("aaaa", "Exampel CPU"), "did you mean Example CPU?"),
        (("aaa", "bbbb"), "aaa is neither the beginning"),
        (("aaaa", "Example"), "a commit and a machine: name two of one kind"),
    ],
)
def test_what_is_neither_commit_nor_machine_is_said(sides, says, tmp_path, capsys):
    append([record(), later()], tmp_path / "a.jsonl")
    assert says in refused(capsys, "results", "diff", *sides, "--records", tmp_path)


# Regressions


UTILIZATION, SECONDS = "bench/utilization_ratio", "bench/step_seconds"
RATIOS = [
    # before, newest, worse
    ({}, {"value": 1.5, "interval": (1.37, 1.6)}, True),
    ({}, {"value": 1.5, "interval": (1.36, 1.6)}, False),  # as two runs of the same code differ
    ({}, {"value": 1.35, "interval": (1.25, 1.45)}, False),
    ({}, {"value": 1.0, "interval": (0.9, 1.05)}, False),  # better
    ({}, {"value": 1.5, "interval": (1.4, 1.6), "machine": MACHINE | {"num_usable_cpus": 8}}, None),
    ({}, {"value": 1.5, "interval": (1.4, 1.6), "dtype": "bfloat16"}, None),
    ({}, {"value": None, "interval": None}, None),
    ({"value": 0.75, "interval": None}, {"value": 0.76, "interval": None}, True),  # counted
    ({"what": UTILIZATION}, {"what": UTILIZATION, "value": 1.0, "interval": (0.9, 1.04)}, True),
    ({"what": UTILIZATION}, {"what": UTILIZATION, "value": 1.5, "interval": (1.4, 1.6)}, False),
    ({"what": SECONDS}, {"what": SECONDS, "value": 9.0, "interval": (8.0, 10.0)}, None),
]


@pytest.mark.parametrize(("before", "after", "worse"), RATIOS)
def test_a_ratio_got_worse_beyond_both_intervals_or_not(before, after, worse, tmp_path, capsys):
    records = [record(**before), later(**after)]
    pairs, found = regressions(records)
    assert len(pairs) == (worse is not None)
    assert len(found) == bool(worse)
    append(records, tmp_path / "a.jsonl")
    assert main(["results", "check", "--records", str(tmp_path)]) == bool(worse)
    said = capsys.readouterr().out
    assert f"{len(pairs)} ratios have an earlier record, {len(found)} got worse" in said
    assert ("Example CPU" in said) is bool(worse)


@pytest.mark.parametrize(
    ("before", "worse"),
    [
        ([1.2], True),
        ([1.2, 1.2, 1.2], True),
        ([1.5, 1.2, 1.2], False),  # it was as slow before
        ([1.5, 1.2, 1.2, 1.2], True),  # but too long ago
        ([1.2, 1.2, 1.5], False),
    ],
)
def test_a_ratio_is_worse_when_it_is_worse_than_each_of_the_last_three(before, worse):
    old = [
        record(value=value, interval=(value - 0.1, value + 0.1), date=f"2025-01-0{day + 1}")
        for day, value in enumerate(before)
    ]
    pairs, found = regressions([*old, later(value=1.5, interval=(1.4, 1.6))])
    assert [pair.old.value for pair in pairs] == before[-1:]
    assert bool(found) is worse


def test_the_committed_runs_of_unchanged_code_did_not_get_worse():
    pairs, found = regressions(read())
    assert len(pairs) > 30
    assert not found


@pytest.mark.parametrize("options", [(), ("--full",)])
def test_the_session_bench_ends_with_the_check_and_its_exit_status(options, monkeypatch):
    pytest.importorskip("nox")
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    noxfile = importlib.import_module("noxfile")
    session = Mock(posargs=list(options))
    noxfile.bench.func(session)
    *benches, last = [call.args for call in session.run.call_args_list]
    assert last == ("meanflow", "results", "check")
    assert all(words[:2] == ("meanflow", "bench") for words in benches)
    # No code of exit is excused: nox ends with 1 where the command does.
    assert all("success_codes" not in call.kwargs for call in session.run.call_args_list)


# What is printed


def printed(capsys, monkeypatch, *arguments):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["results", *map(str, arguments)]) == 0
    return capsys.readouterr().out.splitlines()


def test_show_prints_the_newest_of_each_in_80_columns(tmp_path, capsys, monkeypatch):
    long = {"of": "a very long form of the step / another very long form", "compile": "always"}
    check = {"tolerance": 1e-6, "interval": None}
    append(
        [
            record(), later(value=1.25), record(settings=long, dirty=True), fid(),
            record(what="verify/jvp/zero_tangent_leaves_time_derivative", value=1e-12, **check),
            record(what="verify/jvp/jvp_is_affine", value=None, detail="raised", **check),
        ],
        tmp_path / "a.jsonl",
    )  # fmt: skip
    lines = printed(capsys, monkeypatch, "show", "--records", tmp_path)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for said in (
        "impls.meanflow_jax  bench/step_time_ratio", "1.25 (1.1 to 1.3)", "1.2 (1.1 to 1.3) †",
        "† measured in a tree with changes that no commit holds", "1.00e-12 of 1.00e-06",
        "no number", "11.4 (11.36 to 11.44)",
    ):  # fmt: skip
        assert said in text
    assert "1.2 (1.1 to 1.3)  " not in text  # the older one
    lines = printed(capsys, monkeypatch, "show", "--what", "fid", "--records", tmp_path)
    assert len(lines) == 3
    assert "†" not in "".join(lines)


def test_show_prints_both_of_two_fids_that_differ_in_their_protocol_alone(
    tmp_path, capsys, monkeypatch
):
    balanced = {"protocol": PROTOCOL | {"labels": "balanced"}}
    append([fid(value=9.9, interval=None, **balanced), fid(value=9.8, interval=None, **balanced),
            fid()], tmp_path / "a.jsonl")  # fmt: skip
    text = "\n".join(printed(capsys, monkeypatch, "show", "--records", tmp_path))
    assert "labels=balanced" in text
    assert "labels=uniformly random" in " ".join(text.split())
    assert "legacy_tensorflow" not in text  # which both have
    assert "11.4 (11.36 to 11.44)" in text
    assert "9.8" in text
    assert "9.9" not in text  # the older one


@pytest.mark.parametrize(
    "said", ["[/b]", "[red]x[/red]", ":smile:", "[link=https://a.org]x[/link]"]
)
def test_show_prints_markup_as_it_stands(said, tmp_path, capsys, monkeypatch):
    append([record(settings={"of": said})], tmp_path / "a.jsonl")
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["results", "show", "--records", str(tmp_path)]) == 0
    assert said in capsys.readouterr().out


def test_show_says_what_there_is_when_nothing_matches(tmp_path, capsys):
    append([record(), fid()], tmp_path / "a.jsonl")
    said = refused(capsys, "results", "show", "--subject", "torch", "--records", tmp_path)
    assert "quantities start with bench, fid, and subjects are impls.meanflow_jax" in said


def test_diff_prints_what_moved_and_what_was_not_compared(tmp_path, capsys, monkeypatch):
    moved_on = later(value=2.0, interval=(1.9, 2.1), dirty=True)
    append([record(), moved_on, record(what="bench/old_ratio")], tmp_path / "a.jsonl")
    lines = printed(capsys, monkeypatch, "diff", "aaaa", "bbbb", "--records", tmp_path)
    assert any("1.2 (1.1 to 1.3)" in line and "2 (1.9 to 2.1) †" in line for line in lines)
    assert "1 compared, 1 changed beyond both intervals" in lines
    assert "not compared: only aaaa has it: 1 (bench/old_ratio)" in lines
    assert max(map(len, lines)) <= 80
