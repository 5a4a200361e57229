"""Checks spread over processes give the outcomes of one; what XLA compiled is kept, in bounds."""

import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from impls.common.errors import UserError
from meanflow_repro import main
from verify import compilation, runner, workers
from verify.checks import all_checks
from verify.golden import stored
from verify.processes import num_processes, run_spread
from verify.runner import select

FAMILIES = ("network", "objective", "published", "cross")


def test_several_processes_find_what_one_finds():
    checks = select(FAMILIES)
    one, two = (
        run_spread(("reference", "reference"), checks, stored(), processes=count)
        for count in (1, 2)
    )
    assert len(one.outcomes) > 100
    assert one.outcomes == two.outcomes
    assert (one.subjects, one.notes) == (two.subjects, two.notes)
    assert list(one.seconds) == list(two.seconds)
    assert (one.num_processes, two.num_processes) == (1, 2)
    assert min(one.peak_bytes, two.peak_bytes) > 2**24


def test_what_ends_a_process_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("crashing.py").write_text(
        "import os\nput = get = lambda tree: tree\ndef target(*given): os._exit(3)"
    )
    with pytest.raises(UserError, match="a process that ran checks died"):
        run_spread(("crashing",), select(("target_*", "draws")), stored(), processes=2)


def test_a_process_that_dies_before_it_is_given_a_part_is_told(monkeypatch):
    def dead(*_):
        pipe, other = multiprocessing.Pipe()
        other.send(workers.Loaded((), ()))
        other.close()
        return pipe

    monkeypatch.setattr(workers, "_start", dead)
    with pytest.raises(UserError, match="a process that ran checks died"):
        run_spread(("reference",), select(("target_*", "draws")), stored(), processes=2)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_subject_that_cannot_be_used_is_named_by_every_process(processes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="there is no subject no_such_module"):
        run_spread(("no_such_module",), select(("draws",)), stored(), processes=processes)


def test_few_checks_start_no_process():
    assert num_processes(select(("jvp",))) == 1
    assert num_processes(select(())) >= 1


def test_checks_of_the_full_run_are_left_out_unless_asked_for(monkeypatch):
    checks = all_checks()
    slow = replace(checks["target_matches"], full=True)
    monkeypatch.setattr(runner, "all_checks", lambda: checks | {slow.name: slow})
    for patterns in ((), ("objective",)):
        names = [check.name for check in select(patterns, full=False)]
        assert slow.name not in names
        assert set(names) < {check.name for check in select(patterns, full=True)}
    assert select(("target_matches",), full=False) == [slow]


# ------------------------------------------------------------------------------ the cache


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "meanflow-repro"


def compiled(home, *options):
    """What a run of one check left in the cache."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    command = ["meanflow_repro", "verify", "impls.meanflow_jax", "--check", "target_matches"]
    called = [sys.executable, "-m", *command, *options]
    subprocess.run(called, env=environment, check=True, capture_output=True)
    return [file for file in home.glob("xla-*/*") if file.is_file()]


def test_programs_are_kept_small_ones_too(home):
    pytest.importorskip("jax")
    assert not compiled(home, "--no-cache")
    first = compiled(home)
    assert first
    assert set(compiled(home)) == set(first)


def test_another_version_or_processor_has_a_folder_of_its_own(home, monkeypatch):
    pytest.importorskip("jax")
    folders = {compilation.cache_folder()}
    monkeypatch.setattr(compilation, "_instructions", lambda: "another processor")
    folders.add(compilation.cache_folder())
    monkeypatch.setattr(compilation.importlib.metadata, "version", lambda _: "0.0.1")
    folders.add(compilation.cache_folder())
    assert len(folders) == 3
    assert all(folder and folder.parent == home for folder in folders)


def test_the_oldest_entries_go_first(home):
    for folder, names in (("xla-old", "abc"), ("xla-new", "de")):
        (home / folder).mkdir(parents=True)
        for name in names:
            file = home / folder / name
            file.write_bytes(bytes(100))
            os.utime(file, (ord(name), ord(name)))
    (home / "other").write_bytes(bytes(1000))
    compilation.shrink_cache(limit=250)
    assert sorted(path.name for path in home.glob("xla-*/*")) == ["d", "e"]
    assert not (home / "xla-old").exists()
    assert (home / "other").exists()


def test_a_cache_folder_that_cannot_be_made_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert compilation.cache_folder() is None
    compilation.shrink_cache()


def test_the_last_line_tells_seconds_and_memory(capsys):
    assert main(["verify", "reference", "--check", "target_matches"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert " seconds, at most " in last
    assert " GB of memory per process" in last
