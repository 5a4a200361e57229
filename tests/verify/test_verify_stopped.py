"""A long run tells how far it is, and what it has found survives signals and full disks."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from refusals import refusal
from rich.console import Console
from subprocesses import ROOT

from impls.common.errors import UserError
from meanflow_repro import main
from results.reading import read
from verify import report as reports
from verify.news import News
from verify.outcome import NOT_APPLICABLE, PASS, Outcome, Report, Subject
from verify.workers import _held

# The target is never returned; other processes are told that it was asked for.
STUCK = """
import functools, os, pathlib, reference, time
from reference import put, get
interpolate = functools.partial(reference.interpolate)
def target(*given):
    pathlib.Path(f"reached-{os.getpid()}").touch()
    time.sleep(600)
"""
CHECKS = ("interpolation_matches", "target_matches", "target_clips_the_interval", "data")
LINUX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")


@pytest.fixture
def stuck(tmp_path):
    """Start a run that never ends, in a process group of its own, and wait until it is stuck."""
    started = []

    def start(processes):
        Path(tmp_path, "stuck.py").write_text(STUCK)
        command = [sys.executable, "-m", "meanflow_repro", "verify", "stuck"]
        command += [word for check in CHECKS for word in ("--check", check)]
        command += ["--json", "out.json", "--record", "records", "--processes", str(processes)]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        until = time.monotonic() + 120
        while len(pids(tmp_path)) < processes and time.monotonic() < until:
            time.sleep(0.05)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def pids(folder):
    return [int(file.name.partition("-")[2]) for file in folder.glob("reached-*")]


@LINUX
@pytest.mark.parametrize(
    ("processes", "number", "kill"),
    [(2, signal.SIGINT, os.killpg), (2, signal.SIGTERM, os.kill), (1, signal.SIGTERM, os.kill)],
    ids=["Ctrl-C", "SIGTERM", "SIGTERM-one"],
)
def test_a_signal_ends_a_run_with_what_was_judged(processes, number, kill, stuck, tmp_path):
    """Ctrl-C reaches every process of the terminal."""
    process = stuck(processes)
    kill(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    found = processes  # outcomes: one of each process
    assert f"stopped by {number.name} after {found} of 12 checks" in out
    assert "incomplete  stuck: 1 checks" in out
    assert "nothing recorded: the run was interrupted" in out
    assert "Traceback" not in out + err
    told = json.loads(Path(tmp_path, "out.json").read_text())
    assert (told["complete"], told["num_missing"]) == (False, 12 - found)
    assert {o["check"] for o in told["outcomes"]} == {"interpolation_matches"}
    assert read(tmp_path / "records") == []
    for pid in pids(tmp_path):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@LINUX
def test_ctrl_c_waits_while_a_process_starts_which_is_deaf_to_it():
    blocked = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    said, done = [], threading.Event()

    def start():
        with _held():
            os.kill(os.getpid(), signal.SIGINT)
            said.append(subprocess.check_output([sys.executable, "-c", blocked], text=True))

    threading.Thread(target=done.wait).start()  # the system may give it the signal
    with pytest.raises(KeyboardInterrupt):
        start()
    done.set()
    assert said == ["True\n"]


# ------------------------------------------------------------------------------- how far it is


def outcome(check, family, status=PASS, error=0.0):
    return Outcome(check, family, "subject", "float64", status, error, 0.0, "")


def told(**options):
    """What is said of a run of two families, outcome for outcome."""
    file = io.StringIO()
    report = Report(expected={"draws": 2, "data": 1})
    with News(Console(file=file, width=80, **options)) as news:
        for one in (outcome("a", "draws"), outcome("b", "draws", NOT_APPLICABLE, None)):
            report.outcomes.append(one)
            news.judged(report)
        report.outcomes.append(outcome("c", "data"))
        news.judged(report)
    return file.getvalue()


def test_elsewhere_than_on_a_terminal_each_family_has_a_line_when_it_ends():
    assert told().splitlines() == [
        "2 of 3 checks, 0 s: draws 1 of 1 pass, 1 n/a",
        "3 of 3 checks, 0 s: data 1 of 1 pass",
    ]


def test_a_long_family_is_heard_of_before_it_ends(monkeypatch):
    monkeypatch.setattr("verify.news.SILENCE", -1)
    assert told().splitlines()[0] == "1 of 3 checks, 0 s: draws"


def test_on_a_terminal_there_is_one_line_that_changes_of_plain_letters():
    said = told(force_terminal=True, color_system=None)
    assert "3 of 3 checks, 0 s: data, c" in said
    assert "pass" not in said
    assert said.isascii()
    assert said.endswith("\x1b[2K")  # the line is erased


def test_how_far_a_run_is_stands_on_stderr_and_the_report_on_stdout(capsys):
    assert main(["verify", "reference", "--check", "target_matches", "--check", "data"]) == 0
    printed = capsys.readouterr()
    assert [line.split(", ")[0] for line in printed.err.splitlines()] == [
        "2 of 8 checks", "8 of 8 checks",
    ]  # fmt: skip
    assert " of 8 checks" not in printed.out


# -------------------------------------------------------------------------------- full disks


@pytest.fixture
def full(monkeypatch):
    """A disk that has no room for what is written."""

    def fsync(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("option", ["--json", "--record"])
def test_a_full_disk_takes_neither_the_report_nor_leaves_an_empty_file(option, tmp_path, capsys):
    options = ["--check", "target_matches", option, str(tmp_path / "here")]
    assert main(["verify", "reference", *options]) == 2
    printed = capsys.readouterr()
    assert "pass  reference: 1 checks, 2 of 2 pass" in printed.out
    assert f"cannot write to {tmp_path / 'here'}" in printed.err.splitlines()[-1]
    assert "No space left on device" in printed.err.splitlines()[-1]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("full")
def test_what_stood_in_a_file_stays_where_the_disk_is_full(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("of yesterday")
    said = refusal(UserError, reports.write_json, Report(), path)
    assert said == f"cannot write to {path}: No space left on device"
    assert path.read_text() == "of yesterday"


def test_a_file_is_first_tried_and_not_left(tmp_path):
    path = tmp_path / "out.json"
    assert main(["verify", "no_such_module", "--json", str(path)]) == 2
    assert not path.exists()


@LINUX
def test_a_pipe_is_written_to_as_it_is(tmp_path):
    read_end, write_end = os.pipe()
    link = tmp_path / "link"
    link.symlink_to(f"/proc/self/fd/{write_end}")
    reports.write_json(Report(), link)
    os.close(write_end)
    with os.fdopen(read_end) as file:
        assert json.load(file)["complete"]
    assert link.is_symlink()


def test_a_report_that_nobody_reads_to_the_end_is_written_all_the_same(tmp_path, monkeypatch):
    def closed(*_, **__):
        raise BrokenPipeError

    path = tmp_path / "out.json"
    monkeypatch.setattr(reports, "print_report", closed)
    with pytest.raises(BrokenPipeError):
        main(["verify", "reference", "--check", "target_matches", "--json", str(path)])
    assert json.loads(path.read_text())["complete"]


def test_a_stopped_run_passes_nothing_and_requires_nothing(capsys):
    """Also where some subject was not reached."""
    subjects = tuple(Subject(name, ("put", "get", "target")) for name in ("subject", "other"))
    found = Report([outcome("target_matches", "objective")], {}, subjects)
    found.expected, found.stopped_by = {"objective": 4}, int(signal.SIGTERM)
    lines = reports.summary(found)
    assert lines[0] == "incomplete  subject: 1 checks, 1 of 1 pass"
    assert "nothing of other was checked before the run was interrupted" in lines
    assert lines[-1] == "stopped by SIGTERM after 1 of 4 checks"
