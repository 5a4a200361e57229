"""A folder is held by one process, and by none that has ended, however it ended."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from refusals import refusal
from small_runs import trained

from impls.common.errors import Notice, UserError
from impls.files.locks import locked

ROOT = Path(__file__).parents[3]
# Holds the folder until it is killed; what it forked lives on until its input ends.
HOLDER = """
import os, sys
from pathlib import Path
from impls.files.locks import locked
with locked(Path(sys.argv[1])):
    print(os.getpid(), flush=True) if os.fork() else None
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds tmp_path / "run"."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert int(process.stdout.readline()) == process.pid
        yield process


def hold(folder):
    with locked(folder):
        pass


def test_a_folder_that_another_process_holds_is_refused_and_its_owner_named(holder, tmp_path):
    said = refusal(UserError, hold, tmp_path / "run")
    assert said.startswith(f"{tmp_path / 'run'} is in use by process {holder.pid} on ")
    assert " since 20" in said


def test_a_kill_releases_the_folder_also_where_what_was_forked_lives_on(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "run" / "lock").is_file()
    hold(tmp_path / "run")


def test_two_processes_do_not_train_in_one_folder(framework, holder, tmp_path):
    assert "is in use by process" in refusal(UserError, trained, framework, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["lock"]


def test_a_folder_can_be_held_again_and_nothing_stays_in_it(tmp_path):
    hold(tmp_path)
    hold(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_its_last_owner_removes_in_between_is_none(tmp_path, monkeypatch):
    """Opened before the owner removed it, locked after: a third process may hold the folder."""
    real, removed = fcntl.lockf, []

    def lockf(*given):
        if not removed:
            removed.append((tmp_path / "lock").rename(tmp_path / "removed"))
        return real(*given)

    monkeypatch.setattr("fcntl.lockf", lockf)
    with locked(tmp_path) as check:
        check()
        assert (tmp_path / "lock").is_file()


@pytest.mark.parametrize("then", [lambda _: None, Path.mkdir, hold])
def test_a_folder_that_was_removed_is_noticed_also_where_there_is_another(then, tmp_path):
    with locked(tmp_path / "run") as check:
        check()
        shutil.rmtree(tmp_path / "run")
        then(tmp_path / "run")
        assert "was removed or moved" in refusal(UserError, check)


def test_where_the_file_system_has_no_locks_that_is_said(tmp_path, monkeypatch):
    def lockf(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.lockf", lockf)
    with pytest.warns(Notice, match="on a file system without locks"):
        hold(tmp_path)
