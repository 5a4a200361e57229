"""The `meanflow` command: what it prints, what it writes, and its exit status when all is well."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from golden_folders import FOLDERS, copy_of, rewrite
from without_packages import ROOT

from impls.common.config_files import load_config
from meanflow_repro import main
from results.reading import read
from results.schema import Record
from verify.checks import all_checks
from verify.registry import FAMILIES

QUICK = ("--check", "target_matches", "--check", "jvp_returns_the_mean_velocity")
OUTCOME = {"check", "family", "subject", "dtype", "status", "error", "tolerance", "detail"}

# A name that is the very function of the reference would not count as the subject's own.
OWN = """
import functools, reference
from impls.protocol import NAMES
for name in vars(reference).keys() & set(NAMES):
    globals()[name] = functools.partial(getattr(reference, name))
"""
# Subjects that are the reference but for one thing.
SUBJECTS = {
    "wrong": OWN + "target = lambda v_g, du_dt, t, r: v_g",
    "misshapen": OWN + "target = lambda v_g, du_dt, t, r: v_g[:1]",
    "nan": OWN + "target = lambda v_g, du_dt, t, r: v_g * float('nan')",
    "raising": OWN + "target = lambda v_g, du_dt, t, r: 1 / 0",
    "partial": """
import reference
from reference import put, get
def load_params(config, canonical): return canonical
def mean_velocity(*given): return reference.mean_velocity(*given)
def target(*given): return reference.target(*given)
""",
}


@pytest.fixture
def subject(request, tmp_path, monkeypatch):
    """One of SUBJECTS as a module that is importable from the current folder."""
    module = f"subject_{request.param}_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(SUBJECTS[request.param])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    return module


def strict_json(path):
    """JSON without NaN and Infinity, which Python would otherwise take."""
    return json.loads(path.read_text(), parse_constant=pytest.fail)


# ------------------------------------------------------------------------------------ verify


def test_list_names_every_check_with_its_sentence(capsys):
    assert main(["verify", "--list"]) == 0
    printed = capsys.readouterr().out
    for name, check in all_checks().items():
        slow = " (--full)" if check.full else ""
        assert f"{check.family}: {name}{slow}\n    {check.sentence}\n" in printed


@pytest.mark.parametrize("family", FAMILIES)
def test_list_of_a_family_names_no_other(family, capsys):
    assert main(["verify", "--list", "--check", family]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split(":")[0] for line in lines if not line.startswith(" ")} == {family}


def test_patterns_select_checks(capsys):
    patterns = ("--check", "guidance_with*_kappa_*", "--check", "target_?lips*")
    assert main(["verify", "--list", *patterns]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert lines == [
        "objective: guidance_with_kappa_matches",
        "objective: guidance_without_kappa_matches",
        "objective: target_clips_the_interval",
    ]


def test_lines_fit_in_80_columns(monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.setenv("COLUMNS", "80")
    checks = ("parameters_round_trip", "published", "target_matches", "same_mean_velocity")
    options = [option for name in checks for option in ("--check", name)]
    assert main(["verify", "reference", "impls.meanflow_torch", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 20
    assert [line for line in lines if len(line) > 80] == []


def test_json_is_strict_and_of_the_documented_shape(tmp_path, capsys):
    path = tmp_path / "outcomes.json"
    assert main(["verify", "reference", *QUICK, "--json", str(path)]) == 0
    printed = capsys.readouterr()
    assert "jvp_returns_the_mean_velocity" in printed.out
    assert "FAIL" not in printed.out
    content = strict_json(path)
    assert {"format", "environment", "outcomes"} <= set(content)
    assert (content["complete"], content["num_missing"]) == (True, 0)
    assert content["format"] == 1
    assert {"commit", "dirty", "machine", "python", "libraries"} <= set(content["environment"])
    assert {(o["check"], o["dtype"]) for o in content["outcomes"]} == {
        (check, dtype)
        for check in ("target_matches", "jvp_returns_the_mean_velocity")
        for dtype in ("float64", "float32")
    }
    for outcome in content["outcomes"]:
        assert set(outcome) == OUTCOME
        assert outcome["subject"] == "reference"
        assert outcome["status"] == "pass"
        assert outcome["error"] <= outcome["tolerance"]


def test_records_are_appended_and_can_be_read(tmp_path):
    for _ in range(2):
        assert main(["verify", "reference", *QUICK, "--record", str(tmp_path)]) == 0
    [path] = tmp_path.iterdir()
    records = [Record.model_validate_json(line) for line in path.read_text().splitlines()]
    assert [(record.what, record.dtype) for record in records] == 2 * [
        ("verify/jvp/jvp_returns_the_mean_velocity", "float32"),
        ("verify/jvp/jvp_returns_the_mean_velocity", "float64"),
        ("verify/objective/target_matches", "float32"),
        ("verify/objective/target_matches", "float64"),
        ("seconds/jvp", ""),
        ("seconds/objective", ""),
        ("run/seconds", ""),
        ("run/bytes", ""),
    ]
    for record in records:
        most = {"seconds": 600, "bytes": 16e9}.get(record.unit, record.tolerance)
        assert record.value is not None
        assert most is not None
        assert record.value <= most
        assert record.value > 0 or record.tolerance is not None


@pytest.mark.parametrize(
    ("subject", "error", "said"),
    [
        ("wrong", float, "one_row"),
        ("misshapen", type(None), "infinite: guided"),
        ("nan", type(None), "not a number: guided"),
        ("raising", type(None), "raised ZeroDivisionError: division by zero"),
    ],
    indirect=["subject"],
)
def test_a_failing_subject_gives_status_1_and_the_place(subject, error, said, tmp_path, capsys):
    path, records = tmp_path / "outcomes.json", tmp_path / "records"
    assert main(["verify", subject, *QUICK, "--json", str(path), "--record", str(records)]) == 1
    printed = capsys.readouterr().out
    assert f"FAIL target_matches ({subject}, float64 and float32)" in printed
    assert f"FAIL  {subject}: 2 checks, 2 of 4 pass" in printed
    assert "FAIL jvp" not in printed
    outcomes = strict_json(path)["outcomes"]
    status = {(o["check"], o["status"]) for o in outcomes}
    assert status == {("target_matches", "fail"), ("jvp_returns_the_mean_velocity", "pass")}
    failed = [outcome for outcome in outcomes if outcome["status"] == "fail"]
    assert {type(outcome["error"]) for outcome in failed} == {error}
    assert all(said in outcome["detail"] for outcome in failed)
    recorded = [record for record in read(records) if record.what.endswith("target_matches")]
    assert [type(record.value) for record in recorded] == [error, error]


@pytest.mark.parametrize("subject", ["partial"], indirect=True)
def test_what_a_partial_subject_lacks_is_not_applicable(subject, tmp_path, capsys):
    path, said = tmp_path / "outcomes.json", "the subject offers no mean_velocity_jvp"
    assert main(["verify", subject, *QUICK, "--json", str(path)]) == 0
    found = {
        (o["check"], o["status"]): (o["detail"], o["error"]) for o in strict_json(path)["outcomes"]
    }
    assert found.keys() == {("target_matches", "pass"), ("jvp_returns_the_mean_velocity", "n/a")}
    assert found["jvp_returns_the_mean_velocity", "n/a"] == (said, None)
    assert "mean_velocity_jvp: 1 more check (jvp)" in capsys.readouterr().out


def test_any_golden_folder_is_taken_and_what_is_not_read_is_said(tmp_path, capsys):
    arguments = ["verify", "reference", "--check", "official", "--golden"]
    assert main([*arguments, str(FOLDERS / "patch_4")]) == 0
    assert "not checked" not in capsys.readouterr().out
    folder = copy_of("patch_4", tmp_path)
    rewrite(folder / "case_guided.npz", jvp_extra=np.ones(3), sample_s3_times=np.ones(3))
    assert main([*arguments, str(folder)]) == 0
    said = "not checked in golden case guided: jvp_extra, sample_s3_times"
    assert said in capsys.readouterr().out


# ------------------------------------------------------------------------------------ config


def test_config_prints_the_whole_configuration_with_what_is_set(tmp_path, capsys):
    overrides = {"method.kappa": 0.9, "load_from": None, "model.depth": 3}
    given = ("--set", "method.kappa=0.9", "--set", "load_from=null", "--set", "model.depth=3")
    assert main(["config", "digits", *given]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].endswith(" parameters")
    (tmp_path / "printed.yml").write_text(printed)
    loaded = load_config(str(tmp_path / "printed.yml"))
    assert loaded == load_config("digits", overrides)
    assert (loaded.method.kappa, loaded.model.depth, loaded.load_from) == (0.9, 3, None)


# ------------------------------------------------------------------- the command as a process


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["verify", "reference", "--check", "target_matches"], 0),
        (["verify", "failing", "--check", "target_matches"], 1),
        (["config", "no_such_preset"], 2),
        (["verify", "--jsn", "x"], 2),
        (["--help"], 0),
    ],
)
def test_the_process_ends_with_the_status(arguments, status, tmp_path):
    (tmp_path / "failing.py").write_text(SUBJECTS["wrong"])
    done = subprocess.run(
        [sys.executable, "-m", "meanflow_repro", *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert "Traceback" not in done.stdout + done.stderr
    told = [line for line in done.stderr.splitlines() if " checks, " not in line]
    assert bool(told) == (status == 2)
