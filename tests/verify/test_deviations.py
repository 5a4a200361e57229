"""Known deviations: what is meant is shown with its reason, and excuses nothing else."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from refusals import refusal
from without_packages import ROOT

from impls.common.errors import UserError
from meanflow_repro import main
from results.reading import read as read_records
from verify import deviations
from verify.checks import all_checks
from verify.deviations import Deviation, mark, of_subjects, read, stale
from verify.failures import blocks
from verify.outcome import FAIL, NOT_APPLICABLE, PASS, Known, Outcome, Report, Subject
from verify.report import summary

EXAMPLES = ROOT / "examples"
CLIPS, MATCHES = "target_clips_the_interval", "target_matches"
NO_CLIP = """
import reference
put = get = lambda tree: tree
def target(v_g, du_dt, t, r):
    return v_g - (t - r)[:, None, None, None] * du_dt
"""


def toml(*entries):
    """A file of these entries, each given as a dictionary."""
    lines = []
    for entry in entries:
        lines += ["[[deviation]]", *(f"{key} = {json.dumps(entry[key])}" for key in entry)]
    return "\n".join(lines)


def known(check, reason="it is meant", **more):
    return {"check": check, "reason": reason, **more}


class Told(NamedTuple):
    """What a run ended with, printed, and wrote."""

    status: int
    text: str  # in one line
    outcomes: dict[Any, Any]  # (check, dtype) -> outcome
    stale: list[Any]


@pytest.fixture
def verify(tmp_path, monkeypatch, capsys):
    """Put a subject beside these entries through the checks of its target."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)

    def run(entries, *options, text=NO_CLIP, check="target_*", folder="."):
        file = Path(folder, f"port_{tmp_path.name}.py")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        if entries is not None:
            file.with_name("deviations.toml").write_text(toml(*entries))
        words = ["verify", f"./{file}", "--check", check, "--json", "found.json", *options]
        status = main(words)
        printed = " ".join(capsys.readouterr().out.split())
        found = json.loads(Path("found.json").read_text())
        outcomes = {(o["check"], o["dtype"]): o for o in found["outcomes"]}
        return Told(status, printed, outcomes, found["stale"])

    return run


# ---------------------------------------------------------------------------------- a whole run


def test_a_known_failure_is_shown_with_its_reason_and_turns_no_status(verify):
    told = verify([known(CLIPS, link="https://example.org/why")])
    assert told.status == 0
    assert f"KNOWN {CLIPS} (port" in told.text
    assert "known: it is meant https://example.org/why" in told.text
    assert "2 of 4 pass, 2 known" in told.text
    assert "FAIL" not in told.text
    outcome = told.outcomes[CLIPS, "float64"]
    assert outcome["status"] == "fail"
    assert outcome["known"] == {"reason": "it is meant", "link": "https://example.org/why"}
    assert "known" not in told.outcomes[MATCHES, "float64"]


def test_without_a_file_or_without_heeding_it_the_same_is_a_failure(verify):
    assert verify(None).status == 1
    told = verify([known(CLIPS)], "--no-deviations")
    assert told.status == 1
    assert "known" not in told.outcomes[CLIPS, "float64"]
    assert "K2e-01" not in told.text


def test_another_failure_is_none_the_less_a_failure(verify):
    told = verify([known(CLIPS)], text=NO_CLIP.replace("v_g - ", "v_g + "))
    assert told.status == 1
    assert f"FAIL {MATCHES}" in told.text
    assert f"KNOWN {CLIPS}" in told.text


def test_what_raises_may_be_known(verify):
    told = verify([known("target_*")], text=NO_CLIP.replace("v_g -", "1 / 0 -"))
    assert told.text.count("KNOWN") == 2
    assert told.status == 2  # but nothing of the subject was judged
    assert "nothing of" in told.text


def test_an_entry_without_a_failure_is_stale_and_turns_the_status(verify):
    told = verify([known(CLIPS), known(MATCHES)])
    assert told.status == 1
    assert f"stale: deviations.toml has an entry for {MATCHES}, but it passes" in told.text
    assert "2 of 4 pass, 2 known; 1 stale" in told.text
    assert [(entry["check"], entry["why"]) for entry in told.stale] == [(MATCHES, "it passes")]


def test_an_entry_whose_check_is_not_applicable_is_stale(verify):
    told = verify([known("squared_error_is_a_sum")], check="*_is_a_sum")
    assert told.stale[0]["why"] == "it is not applicable: the subject offers no squared_error"


def test_an_entry_whose_check_was_not_run_is_neither(verify):
    told = verify([known(CLIPS), known("rows_are_independent")], check="target_*")
    assert (told.status, told.stale) == (0, [])


def test_another_file_can_be_named(verify):
    Path("mine.toml").write_text(toml(known(CLIPS)))
    assert verify(None, "--deviations", "mine.toml").status == 0
    assert verify([known(MATCHES)], "--deviations", "mine.toml").stale == []


def test_the_file_stands_beside_the_subject_not_in_the_current_folder(verify):
    Path("deviations.toml").write_text(toml(known(MATCHES)))
    told = verify([known(CLIPS)], folder="inner")
    assert (told.status, told.stale) == (0, [])


def test_the_file_of_a_dotted_module_stands_beside_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    package = Path(f"package_{tmp_path.name}")
    package.mkdir()
    (package / "subject.py").write_text(NO_CLIP)
    (package / "deviations.toml").write_text(toml(known(CLIPS)))
    assert main(["verify", f"{package}.subject", "--check", CLIPS]) == 0
    assert f"KNOWN {CLIPS} ({package}.subject, float64 and float32)" in capsys.readouterr().out


def test_records_keep_a_known_failure_as_a_failure_with_its_reason(verify):
    verify([known(CLIPS)], "--record", "records")
    found = [record for record in read_records(Path("records")) if record.what.endswith(CLIPS)]
    assert len(found) == 2
    for record in found:
        assert record.value > record.tolerance
        assert record.detail.endswith("; known: it is meant")


def test_a_required_check_that_is_not_applicable_is_excused_by_no_entry(verify):
    check = "squared_error_is_a_sum"
    told = verify([known(check)], "--require", check, check="*_is_a_sum")
    assert told.status == 1
    assert f"FAIL {check}" in told.text


def test_both_options_at_once_are_refused(capsys):
    assert main(["verify", "reference", "--deviations", "x.toml", "--no-deviations"]) == 2
    assert "give one of them" in capsys.readouterr().err


def test_the_example_passes_with_its_deviation_and_fails_without(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("subject.py", "deviations.toml"):
        shutil.copy(EXAMPLES / name, tmp_path / name.replace("subject", f"s_{tmp_path.name}"))
    command = [
        "verify",
        str(tmp_path / f"s_{tmp_path.name}.py"),
        "--check",
        "objective",
        "--processes=1",
    ]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert f"KNOWN {CLIPS}" in printed
    assert "checks, 4 of 6 pass, 2 known, " in printed  # how many are not applicable grows
    assert main([*command, "--no-deviations"]) == 1


# ---------------------------------------------------------------------------------- matching


def outcome(check, status=FAIL, dtype="float64", subject="mine", detail=""):
    return Outcome(check, "objective", subject, dtype, status, 1.0, 0.0, detail)


def in_both(check, status, **more):
    return [outcome(check, status, dtype, **more) for dtype in ("float64", "float32")]


def test_an_entry_names_a_check_a_pattern_or_one_precision():
    narrow = {"mine": (Deviation("loss_*", "why", dtype="float32"),)}
    assert mark(outcome("loss_matches", dtype="float32"), narrow).known == Known("why")
    assert mark(outcome("loss_matches"), narrow).known is None
    assert mark(outcome("gradient_matches"), narrow).known is None
    assert mark(outcome("loss_matches", dtype="float32", subject="other"), narrow).known is None
    assert mark(outcome("loss_matches", PASS, "float32"), narrow).known is None


def test_the_first_entry_that_names_a_failure_gives_the_reason_and_none_is_stale():
    given = {"mine": (Deviation("loss_*", "first"), Deviation("loss_matches", "second"))}
    found = [outcome(name) for name in all_checks() if name.startswith("loss_")]
    assert {mark(one, given).known for one in found} == {Known("first")}
    assert stale(found, given) == ()


def test_a_failure_of_a_pair_is_known_by_the_entry_of_either():
    given = {"mine": (Deviation("same_target", "why"),)}
    for pair in ("mine ~ yours", "yours ~ mine"):
        failure = outcome("same_target", subject=pair)
        assert mark(failure, given).known == Known("why")
        assert stale([failure], given) == ()
    assert stale(in_both("same_target", PASS, subject="mine ~ yours"), given)


def test_two_subjects_of_a_folder_share_an_entry():
    entry = Deviation("target_matches", "why")
    given = {"one": (entry,), "two": (entry,)}
    passes = [one for name in given for one in in_both("target_matches", PASS, subject=name)]
    assert [found.subjects for found in stale(passes, given)] == [("one", "two")]
    assert stale([*passes[:3], outcome("target_matches", subject="two")], given) == ()


def test_a_pattern_is_stale_only_when_all_that_it_names_was_run():
    given = {"mine": (Deviation("target_*", "why"),)}
    found = [one for name in (CLIPS, MATCHES) for one in in_both(name, PASS)]
    assert stale(found[:2], given) == ()
    assert stale(found, given)[0].check == "target_*"


def test_a_pattern_waits_for_no_check_of_the_full_run_or_of_pairs():
    given = {"mine": (Deviation("*", "why"),)}
    usual = [c.name for c in all_checks().values() if not c.full and c.family != "cross"]
    found = [one for name in usual for one in in_both(name, PASS)]
    assert stale(found, given)
    assert stale(found[2:], given) == ()


def test_a_precision_that_was_not_run_makes_nothing_stale():
    given = {"mine": (Deviation(MATCHES, "why", dtype="float32"),)}
    assert stale([outcome(MATCHES, PASS)], given) == ()
    assert stale([outcome(MATCHES, PASS, "float32")], given)[0].dtype == "float32"
    either = {"mine": (Deviation(MATCHES, "why"),)}  # it may fail in float32 alone
    assert stale([outcome(MATCHES, PASS)], either) == ()
    assert stale(in_both(MATCHES, PASS), either)[0].dtype is None


def test_what_follows_from_a_known_failure_is_judged_on_its_own():
    given = {"mine": (Deviation(MATCHES, "why"),)}
    failed = [outcome(MATCHES), outcome("whole_target_matches"), outcome("loss_matches")]
    printed = [block.plain for block in blocks(Report(failed), verbose=False, tracebacks=False)]
    assert [text.split()[0:2] for text in printed[:1]] == [["FAIL", MATCHES]]
    assert "FAIL 2 more, which follow from target_matches" in printed[1]
    marked = Report([mark(one, given) for one in failed])
    printed = [block.plain for block in blocks(marked, verbose=False, tracebacks=False)]
    heads = [text.split()[:2] for text in printed[:2]]
    assert heads == [["KNOWN", MATCHES], ["FAIL", "whole_target_matches"]]
    assert "It may follow from target_matches, a known deviation." in printed[1]
    assert "FAIL 1 more, which follow from whole_target_matches" in printed[2]


def test_a_subject_of_known_failures_alone_passes():
    marked = [mark(outcome(MATCHES), {"mine": (Deviation(MATCHES, "why"),)})]
    assert summary(Report(marked))[0] == "pass  mine: 1 checks, 0 of 1 pass, 1 known"
    absent = [outcome(MATCHES, NOT_APPLICABLE)]
    assert summary(Report(absent))[0].startswith("n/a  mine")


# ---------------------------------------------------------------------------------- the file


REFUSED = [
    ([known("target_match")], "entry 1: there is no check target_match; did you mean target_mat"),
    ([known("nothing_*")], "there is no check nothing_*: meanflow verify --list names them"),
    ([known(CLIPS), {"check": MATCHES}], "entry 2 has no reason"),
    ([{"reason": "why"}], "entry 1 has no check"),
    ([known(CLIPS, "  ")], "entry 1 has no reason"),
    ([known(CLIPS, reson="why")], "entry 1: there is no key reson; did you mean reason?"),
    ([known(CLIPS, x="why")], "no key x: it may hold check, reason, link, dtype"),
    ([known(CLIPS, 3)], "entry 1: reason is 3, expected a string in quotes"),
    ([known(CLIPS, dtype="float16")], "dtype is 'float16', expected float64 or float32"),
    ([known(CLIPS), known(CLIPS, "again")], f"entry 2: {CLIPS} has an earlier entry"),
    ([known(CLIPS, dtype="float32")] * 2, f"entry 2: {CLIPS} float32 has an earlier entry"),
]  # fmt: skip


@pytest.mark.parametrize(("entries", "says"), REFUSED)
def test_what_is_wrong_with_an_entry_is_said(entries, says, tmp_path):
    file = tmp_path / "deviations.toml"
    file.write_text(toml(*entries))
    said = refusal(UserError, read, file)
    assert said.startswith(f"{file}, entry ")
    assert says in said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[[deviation]\n", "is not valid TOML"),
        (b"# \xff", "is not valid TOML"),
        (b"[deviation]\ncheck = 'x'", "head each with [[deviation]]"),
        (b"deviation = [1]", "head each with [[deviation]]"),
        (b"[[deviations]]", "there is no key deviations; did you mean deviation?"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(content, says, tmp_path):
    file = tmp_path / "deviations.toml"
    file.write_bytes(content)
    said = refusal(UserError, read, file)
    assert said.startswith(str(file))
    assert says in said


def test_a_file_that_cannot_be_read_ends_a_run_before_the_first_check(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    name = f"port_{tmp_path.name}"
    Path(f"{name}.py").write_text(NO_CLIP)
    assert main(["verify", name, "--check", MATCHES, "--deviations", "nowhere.toml"]) == 2
    said = capsys.readouterr()
    assert said.err == "meanflow: nowhere.toml cannot be read: No such file or directory\n"
    assert not said.out


def test_a_file_without_an_entry_is_none(tmp_path):
    file = tmp_path / "deviations.toml"
    file.touch()
    assert read(file) == ()


def test_the_projects_own_implementations_have_no_known_deviations(tmp_path, monkeypatch):
    monkeypatch.setattr(deviations, "read", lambda file: pytest.fail(f"{file} was read"))
    file = tmp_path / "deviations.toml"
    file.touch()
    own = [Subject(name, (), file=str(tmp_path / "x.py")) for name in ("reference", "impls.x")]
    assert of_subjects(own) == {}
    said = refusal(UserError, of_subjects, own, file)
    assert "none is checked" in said


@pytest.mark.parametrize("processes", ["1", "2"])
def test_every_number_of_processes_knows_the_same(processes, verify):
    told = verify([known(CLIPS)], "--processes", processes)
    assert told.status == 0
    assert told.text.count("KNOWN") == 1
