"""The command as a process: interrupts, full disks, closed pipes, terminals without Unicode."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from subprocesses import ROOT, run_python

from impls.common.environment import release
from meanflow_repro import main, process

SIGINT = 130, -2  # to a shell they are one: CPython dies of the signal once it has met it in exec

INTERRUPTED_AT = """
import signal, sys, time

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            {how}

class InClassBody:
    def __set_name__(self, owner, name):
        signal.raise_signal(signal.SIGINT)

class InDestructor:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from meanflow_repro import run
run()
"""
PLAINLY = "signal.raise_signal(signal.SIGINT)"
HOW = [PLAINLY, "type('Made', (), {'field': InClassBody()})", "InDestructor(); time.sleep(9)"]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("meanflow_repro.process", PLAINLY),
        ("impls.common.errors", PLAINLY),
        ("meanflow_repro.verify", PLAINLY),
        *(("impls.common.config_files", how) for how in HOW),
    ],
)
def test_an_interrupt_is_one_line_wherever_it_comes(name, how, tmp_path):
    program = INTERRUPTED_AT.format(name=name, how=how)
    done = run_python("-c", program, "config", "digits", cwd=tmp_path)
    assert done.returncode in SIGINT
    assert done.stdout == ""
    assert done.stderr == "meanflow: interrupted\n"


COMMANDS = [["config", "digits"], ["verify", "--list"], ["results", "show"], ["--help"]]


def meanflow(*arguments, **options):
    """The command in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | options.pop("env", {})
    return subprocess.run(
        [sys.executable, "-m", "meanflow_repro", *arguments],
        env=environment, stderr=subprocess.PIPE, text=True, check=False, **options,
    )  # fmt: skip


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("command", "unbuffered"), [*zip(COMMANDS, "  1 ", strict=True)])
def test_output_to_a_full_disk_is_one_sentence(command, unbuffered):
    with Path("/dev/full").open("w") as full:
        done = meanflow(*command, stdout=full, env={"PYTHONUNBUFFERED": unbuffered.strip()})
    assert done.returncode == 2
    assert done.stderr == "meanflow: cannot write to standard output: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_what_is_asked_for_elsewhere_is_written_though_the_output_is_not(tmp_path):
    asked = ["verify", "reference", "--check", "target_matches", "--json", str(tmp_path / "all")]
    with Path("/dev/full").open("w") as full:
        done = meanflow(*asked, stdout=full)
    assert done.returncode == 2
    assert "target_matches" in (tmp_path / "all").read_text()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_closed_pipe_ends_the_command_in_silence(command):
    reading, writing = os.pipe()
    os.close(reading)
    done = meanflow(*command, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (["--help"], 0, "* verify"),
        (["verify", "--list"], 0, "(--full)"),
        (["results", "show"], 0, "fid"),
        (["config", "nowhere"], 2, "neither a preset (ablation/..., cifar10"),
        (["config", "m\u00fcnchen"], 2, r"m\xfcnchen is neither"),
        (["config", "\udcff"], 2, r"\udcff is neither"),  # a byte that is no UTF-8
    ],
)
def test_a_terminal_without_unicode_gets_plain_characters(command, status, said):
    done = meanflow(*command, stdout=subprocess.PIPE, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == status
    assert (done.stdout + done.stderr).isascii()
    assert "Traceback" not in done.stderr
    assert r"\u2" not in done.stdout  # nothing of the project's own text is spelled out
    assert said in done.stdout + done.stderr


def test_what_is_printed_of_scores_has_a_form_in_ascii():
    assert process.PLAIN["é"] == "e"
    said = "Fréchet distance 2.7 ± 0.3 …".encode("ascii", "meanflow.plain")
    assert said == b"Frechet distance 2.7 +- 0.3 ..."


def test_version_is_that_of_the_project(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"meanflow {release()}\n"
    assert f'version = "{release()}"' in (ROOT / "pyproject.toml").read_text()
