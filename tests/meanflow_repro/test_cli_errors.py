"""What a user gets wrong is answered by one sentence and exit status 2, never by a traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from golden_folders import FOLDERS, arrays_of, copy_of, rewrite

from meanflow_repro import main


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, from where subjects are importable; the module path as it was."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that the command prints to stderr while it ends with status 2."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    [line] = printed.err.splitlines()
    assert line.startswith("meanflow: ")
    return line


# ---------------------------------------------------------------------------------- subjects


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_module", "there is no subject no_such_module"),
        ("impls.meanflow_jaxx", "there is no subject impls.meanflow_jaxx"),
        ("no/such/file.py", "there is no subject no/such/file"),
        ("json", "json is not a subject"),
        ("impls.common", "impls.common is not a subject"),
        ("..", "cannot be imported"),
        ("", "cannot be imported"),
    ],
)
def test_an_unknown_subject_is_named(
    name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(capsys, "verify", name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("def f(:", "invalid syntax"),
        ("import no_such_package", "needs the package no_such_package"),
        ("from math import no_such_name", "no_such_name"),
        ("raise RuntimeError('the port\\nis broken')", "the port is broken"),
        ("open('/no/such/file')", "/no/such/file"),
        ("undefined", "undefined"),
        ("{}['key']", "key"),
        ("raise SystemExit(0)", "cannot be imported"),
        ("put = get = lambda tree: tree", "is not a subject"),
    ],
)
def test_a_subject_that_cannot_be_used_is_named(
    content: str, said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"subject_{here.name}"
    (here / f"{name}.py").write_text(content)
    line = refused(capsys, "verify", name)
    assert name in line
    assert said in line


# ----------------------------------------------------------------------------- checks, files


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("netwrk", "did you mean network?"),
        ("jvp_matches_complex_stp", "did you mean jvp_matches_complex_step?"),
        ("zzz", "--list names them"),
        ("zzz*", "--list names them"),
        ("", "--list names them"),
    ],
)
def test_an_unknown_check_is_named(
    pattern: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, "verify", "reference", "--check", "network", "--check", pattern)
    assert f"no check or family {pattern}" in line
    assert said in line


@pytest.mark.parametrize("option", ["--json", "--record"])
def test_a_file_that_cannot_be_written_is_named_before_the_work(
    option: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "file").write_text("")
    path = str(here / "file" / "below")
    assert path in refused(capsys, "verify", "reference", "--check", "network", option, path)


def test_a_folder_in_place_of_the_json_file_is_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert str(here) in refused(capsys, "verify", "reference", "--json", str(here))


def test_a_golden_folder_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no/such" in refused(capsys, "verify", "reference", "--golden", "no/such")


def test_a_golden_folder_with_a_missing_array_is_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(copy_of("patch_4", here) / "case_guided.npz", jvp_u=None)
    line = refused(capsys, "verify", "reference", "--golden", "patch_4")
    assert "patch_4/case_guided.npz lacks the array jvp_u" in line


@pytest.mark.parametrize("file", ["params.npz", "case_guided.npz", "train_2_steps.npz"])
def test_a_golden_folder_with_a_nan_is_named(
    file: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, array = next(
        (name, array)
        for name, array in arrays_of(FOLDERS / "patch_4" / file).items()
        if array.dtype.kind == "f"
    )
    rewrite(copy_of("patch_4", here) / file, **{name: np.full_like(array, np.nan)})
    line = refused(capsys, "verify", "reference", "--golden", "patch_4")
    assert f"patch_4/{file}: {name} holds a NaN" in line


# ----------------------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no_such_preset"], "neither a preset"),
        (["mf_b"], "did you mean mf_b4?"),
        (["digits", "--set", "training.batch_sze=3"], "did you mean training.batch_size?"),
        (["digits", "--set", "trainig.batch_size=3"], "trainig"),
        (["digits", "--set", "method.kappa=1"], "a number from 0 up to but not 1"),
        (["digits", "--set", "method.kappa=.nan"], "method.kappa"),
        (["digits", "--set", "method.kappa=true"], "method.kappa"),
        (["digits", "--set", "training=3"], "training"),
        (["digits", "--set", "model.num_heads=5"], "model.num_heads"),
        (["digits", "--set", "method.kappa"], "has no value"),
        (["digits", "--set", "=3"], "''"),
        (["digits", "--set", "method.kappa=[1"], "not readable YAML"),
        (["digits", "--set", "method.kappa=!!python/object:x {}"], "not readable YAML"),
        (["digits", "--set", "method.kappa=!!int x"], "not readable YAML"),
        (["digits", "--set", "method.kappa=2020-99-99"], "not readable YAML"),
        (["."], "cannot be read"),
    ],
)
def test_a_wrong_configuration_is_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(capsys, "config", *arguments)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("- 1\n- 2\n", "[1, 2]"),
        ("", "is empty"),
        ("text", "'text'"),
        ("a: [1\n", "not valid YAML"),
        ("training: 3\n", "training"),
        ("training: {batch_sze: 3}\n", "did you mean training.batch_size?"),
        ("training: {batch_size: 0}\n", "training.batch_size"),
        ("\x00", "not a YAML text file"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(
    content: str, said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mine.yml").write_text(content)
    line = refused(capsys, "config", "mine.yml")
    assert "mine.yml" in line
    assert said in line


# ------------------------------------------------------------------------- the command's line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "verify"),
        (["verfy"], "verfy"),
        (["verify", "--jsn", "x"], "--jsn"),
        (["verify", "--golden"], "--golden"),
        (["verify", "--list", "--check"], "--check"),
        (["config", "digits", "more"], "more"),
        (["config", "--sett", "a=1"], "--sett"),
    ],
)
def test_a_wrong_option_is_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert printed.out == ""
    assert said in printed.err
