"""The suite repeats one in twenty, the soak all; the soak records what ran, and nothing else."""

from types import SimpleNamespace

import pytest
import repetitions
import soak
from results_records import in_markdown, record

from results.reading import read
from results.tabulate import soak as table

ExitCode = pytest.ExitCode


def item(test, act="", share=20, **params):
    mark = pytest.mark.soak(act, of="repetition", share=share).mark if act else None
    return SimpleNamespace(
        path="a.py",
        originalname=test,
        callspec=SimpleNamespace(params=params),
        get_closest_marker=lambda name: mark if name == "soak" else None,
    )


def repeated(count):
    return [
        item("test_kill", "kills", framework=name, repetition=i)
        for i in range(count)
        for name in ("jax", "torch")
    ]


@pytest.mark.parametrize(("count", "kept"), [(1, 1), (20, 1), (21, 2), (100, 5)])
def test_the_suite_keeps_one_repetition_in_twenty_of_each_framework(count, kept):
    others = [item("test_other"), item("test_other", framework="jax", repetition=3)]
    found = repetitions.one_in_twenty([*others, *repeated(count)])
    assert found[:2] == others
    names = [one.callspec.params["framework"] for one in found[2:]]
    assert [names.count("jax"), names.count("torch")] == [kept, kept]


def test_the_suite_keeps_the_share_that_a_test_asks_for():
    items = [item("test_slip", "slips", share=5, repetition=i) for i in range(11)]
    kept = [one.callspec.params["repetition"] for one in repetitions.one_in_twenty(items)]
    assert kept == [0, 5, 10]


def test_an_act_is_all_of_its_repetitions_in_an_order_of_the_seed():
    items = [item("test_other"), item("test_bug", "mutants", repetition=0), *repeated(20)]
    orders = [repetitions.of_act("kills", seed, items) for seed in (1, 2, 1)]
    assert {id(one) for one in orders[0]} == {id(one) for one in items[2:]}
    assert orders[0] == orders[2] != orders[1]


def test_an_unknown_act_is_refused_with_the_known_ones():
    with pytest.raises(pytest.UsageError, match="kils, expected one of kills, repetitions"):
        repetitions.of_act("kils", 0, [])


def test_examples_are_counted_as_hypothesis_tells_them():
    told = (
        "- 1 passing, 0 failing, and 9 invalid test cases\n- 20 passing, 3 failing, and 0 invalid"
    )
    assert repetitions.num_examples(told) == 24


# ---------------------------------------------------------------------------------- the runner


def report(name, when, outcome, *counts):
    return SimpleNamespace(
        nodeid=name, when=when, failed=outcome == "failed", skipped=outcome == "skipped",
        user_properties=[("repetitions", count) for count in counts],
    )  # fmt: skip


PASSED = [report("a", "setup", "passed"), report("a", "call", "passed", 2, 1)]
PLAIN = [report("d", "setup", "passed"), report("d", "call", "passed")]
FAILED = [report("b", "setup", "passed"), report("b", "call", "failed", 2)]
BROKEN = [report("e", "setup", "failed")]
TOO_LATE = [report("c", "setup", "skipped")]


@pytest.fixture
def run(monkeypatch, tmp_path):
    """The status and the records of a soak whose tests have these reports."""

    def with_reports(reports, code, *arguments):
        def main(options, plugins):
            for one in reports:
                plugins[0].pytest_runtest_logreport(one)
            return code

        monkeypatch.setattr("pytest.main", main)
        status = soak.main([*(arguments or ("kills",)), "--record", str(tmp_path), "--seed", "7"])
        return status, read(tmp_path)

    return with_reports


def test_a_record_says_what_ran_and_how_often(run):
    status, (made,) = run([*PASSED, *PLAIN, *TOO_LATE], ExitCode.OK)
    assert status == 0
    assert (made.subject, made.what, made.value, made.tolerance) == ("soak", "soak/kills", 0, 0)
    counted = {"seed": 7, "num_tests": 3, "num_run": 2, "num_kills": 4}
    assert counted.items() <= made.settings.items()


def test_a_failure_is_recorded_named_and_ends_with_status_1(run, capsys):
    status, (made,) = run([*PASSED, *FAILED, *BROKEN], ExitCode.TESTS_FAILED)
    assert status == 1
    assert (made.value, made.detail) == (2, "b; e")
    assert "FAILED b\nFAILED e\n" in capsys.readouterr().out


def test_an_act_of_which_nothing_ran_is_no_record_and_no_success(run):
    assert run(TOO_LATE, ExitCode.OK) == (1, [])


@pytest.mark.parametrize("code", [ExitCode.INTERRUPTED, ExitCode.USAGE_ERROR])
def test_an_act_that_was_interrupted_is_no_record(run, code, tmp_path):
    with pytest.raises(SystemExit, match=f"kills is not recorded: pytest ended with {code.name}"):
        run(PASSED, code)
    assert read(tmp_path) == []


def test_each_act_is_recorded_by_itself(run):
    _, made = run(PASSED, ExitCode.OK, "kills", "fuzz")
    assert [one.what for one in made] == ["soak/kills", "soak/fuzz"]


def test_an_act_that_is_not_there_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        soak.main(["kils"])
    assert caught.value.code == 2
    assert "kills" in capsys.readouterr().err


# ----------------------------------------------------------------------------------- the table


def soaked(**changes):
    settings = {"seed": 7, "num_tests": 41, "num_run": 40, "num_kills": 80, "seconds": 90.0}
    known = {"subject": "soak", "what": "soak/kills", "value": 0, "interval": None}
    return record(**known | {**changes, "settings": settings | changes.get("settings", {})})


soak_table = in_markdown(table.soak)


def test_the_table_shows_the_newest_record_of_an_act():
    found = soak_table([soaked(settings={"num_kills": 20}), soaked(value=3, date="2026-02-01")])
    assert "| 80 | 40 of 41 | 3 | 7 | 1.5 |" in found
    assert "(2026-02-01, commit aaaaaaa, Example CPU)." in found


def test_an_act_that_was_not_run_says_so():
    assert soak_table([]).count("| not run |") == len(table.ACTS) == len(soak.SHARES)
    assert set(table.ACTS) == set(soak.SHARES)
