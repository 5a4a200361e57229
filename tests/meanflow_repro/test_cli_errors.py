"""What a user gets wrong is answered by one sentence and exit status 2, never by a traceback."""

import sys

import pytest

from meanflow_repro import main


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The current folder, from where subjects are importable; the module path as it was."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys, *arguments):
    """The one line that the command prints to stderr while it ends with status 2."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    [line] = printed.err.splitlines()
    assert line.startswith("meanflow: ")
    return line


SUBJECT = ["verify", "reference", "--check", "network"]
OVERRIDDEN = ["config", "digits", "--set"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        # subjects
        (["verify", "no_such_module"], "there is no subject no_such_module"),
        (["verify", "impls.meanflow_jaxx"], "there is no subject impls.meanflow_jaxx"),
        (["verify", "no/such/file.py"], "there is no subject no/such/file"),
        (["verify", "json"], "json is not a subject"),
        (["verify", "impls.common"], "impls.common is not a subject"),
        (["verify", ".."], "cannot be imported"),
        (["verify", ""], "cannot be imported"),
        # checks
        ([*SUBJECT, "--check", "netwrk"], "no check or family netwrk; did you mean network?"),
        (
            [*SUBJECT, "--check", "jvp_matches_complex_stp"],
            "; did you mean jvp_matches_complex_step?",
        ),
        ([*SUBJECT, "--check", "zzz"], "no check or family zzz: --list names them"),
        ([*SUBJECT, "--check", "zzz*"], "no check or family zzz*: --list names them"),
        ([*SUBJECT, "--check", ""], "no check or family : --list names them"),
        # files
        ([*SUBJECT, "--json", "file/below"], "file/below"),
        ([*SUBJECT, "--record", "file/below"], "file/below"),
        ([*SUBJECT, "--json", "."], "cannot write to ."),
        (["verify", "reference", "--golden", "no/such"], "no/such"),
        # configurations
        (["config", "mf_b"], "did you mean mf_b4?"),
        ([*OVERRIDDEN, "training.batch_sze=3"], "did you mean training.batch_size?"),
        ([*OVERRIDDEN, "method.kappa=.nan"], "method.kappa"),
        ([*OVERRIDDEN, "method.kappa"], "has no value"),
        ([*OVERRIDDEN, "=3"], "''"),
        ([*OVERRIDDEN, "method.kappa=[1"], "not readable YAML"),
        ([*OVERRIDDEN, "method.kappa=!!python/object:x {}"], "not readable YAML"),
        ([*OVERRIDDEN, "method.kappa=!!int x"], "not readable YAML"),
        ([*OVERRIDDEN, "method.kappa=2020-99-99"], "not readable YAML"),
    ],
)
def test_what_is_wrong_is_named_before_the_work(arguments, said, here, capsys):
    (here / "file").write_text("")
    assert said in refused(capsys, *arguments)


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
def test_a_subject_that_cannot_be_used_is_named(content, said, here, capsys):
    name = f"subject_{here.name}"
    (here / f"{name}.py").write_text(content)
    line = refused(capsys, "verify", name)
    assert name in line
    assert said in line


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
def test_a_wrong_option_is_named(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert printed.out == ""
    assert said in printed.err
