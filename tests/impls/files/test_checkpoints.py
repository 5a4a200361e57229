"""A damaged checkpoint is refused in one sentence that names one that can be used."""

import functools
import json
import shutil
import sys
from pathlib import Path

import pytest
from refusals import refusal
from results_records import refused
from small_runs import assert_same_state, small, state_of, trained

from impls.files import checkpoints
from impls.files.checkpoints import CheckpointError
from meanflow_repro import main


@functools.cache
def original(framework, folder):
    """A run with checkpoints of steps 2, 4 and 6."""
    # Two steps an epoch.
    trained(framework, folder / f"run-{framework}", training__batch_size=719)
    return folder / f"run-{framework}"


@pytest.fixture
def run(framework, tmp_path, tmp_path_factory):
    """A copy of it, to be damaged."""
    pytest.importorskip(framework)
    folder = tmp_path / "run"
    shutil.copytree(original(framework, tmp_path_factory.getbasetemp()), folder)
    return folder


@pytest.fixture
def plain(tmp_path):
    """A run with checkpoints of steps 4 and 6 whose states are no framework's."""
    for step in (4, 6):
        checkpoints.write(tmp_path, "torch", step, small(), lambda path: path.write_text("state"))
    return tmp_path


def edit(run, **changes):
    """Change about.json of step 6; what becomes `...` is left out."""
    file = run / "checkpoints" / "6" / "about.json"
    about = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in about.items() if value is not ...}))


def test_every_byte_of_a_checkpoint_has_a_checksum(run):
    saved = run / "checkpoints" / "6"
    files = {path.relative_to(saved).as_posix() for path in saved.rglob("*") if path.is_file()}
    assert set(checkpoints.find(run).sha256) == files - {"about.json"}


@pytest.mark.parametrize("repetition", range(8))
def test_one_changed_bit_is_refused_wherever_it_is(run, repetition, moments):
    saved = run / "checkpoints" / "6"
    files = sorted(path for path in saved.rglob("*") if path.is_file() and path.stat().st_size)
    file = moments.choice([path for path in files if path.name != "about.json"])
    content = bytearray(file.read_bytes())
    content[moments.randrange(len(content))] ^= 1 << moments.randrange(8)
    file.write_bytes(content)
    said = refusal(CheckpointError, state_of, run)
    assert said.startswith(f"{file} is damaged: about.json has another SHA-256")


def test_a_file_that_is_gone_is_refused_and_one_that_was_added_is_not_read(run):
    expected = state_of(run)
    saved = run / "checkpoints" / "6"
    (saved / "notes.txt").write_text("kept beside it")
    assert_same_state(state_of(run), expected)
    (saved / "config.yml").unlink()
    assert "config.yml cannot be read (No such file" in refusal(CheckpointError, state_of, run)


def test_what_is_said_of_a_damaged_checkpoint_can_be_done(run):
    """The whole one is found where another is damaged too, can be given, and can be resumed."""
    folder = run / "checkpoints"
    expected = state_of(run)
    (folder / "4" / "config.yml").write_text("")
    shutil.rmtree(folder / "6")
    (folder / "6").mkdir()
    said = refusal(CheckpointError, state_of, run)
    assert said.startswith(f"{folder / '6' / 'about.json'} cannot be read (No such file")
    assert f"the newest undamaged one is {folder / '2'}: give that path, or delete {folder}" in said
    assert state_of(folder / "2").step == 2
    assert f"the newest undamaged one is {folder / '2'}" in refusal(CheckpointError, resumed, run)
    for damaged in ("4", "6"):
        shutil.rmtree(folder / damaged)
    resumed(run)
    assert_same_state(state_of(run), expected)


def resumed(run):
    framework = json.loads((run / "checkpoints" / "2" / "about.json").read_text())["framework"]
    return trained(framework, run, training__batch_size=719)


def test_where_no_checkpoint_is_whole_that_is_said(plain):
    for file in plain.rglob("about.json"):
        file.write_text("{")
    said = refusal(CheckpointError, checkpoints.find, plain)
    assert said.endswith(f"; there is no undamaged one beside it in {plain / 'checkpoints'}")


def test_a_folder_that_cannot_be_searched_is_one_sentence(plain, monkeypatch):
    root = refusal(CheckpointError, checkpoints.find, Path("/"))
    assert root == "there is no checkpoint at /: give a run's folder or a step's"

    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    for search in (checkpoints.find, checkpoints.newest):
        said = refusal(CheckpointError, search, plain)
        assert "cannot be read (Permission denied): give a run's folder" in said


@pytest.mark.parametrize("step", [None, "x", [1], -5, True, 6.0, 4])
def test_a_step_that_is_none_or_another_is_refused(plain, step):
    edit(plain, step=step)
    assert "the step in its about.json is" in refusal(CheckpointError, checkpoints.find, plain)


def test_a_step_unlike_that_of_the_state_is_refused(run):
    edit(run, step=7)
    (run / "checkpoints" / "6").rename(run / "checkpoints" / "7")
    said = refusal(CheckpointError, state_of, run)
    assert "its state is of step 6, its about.json of step 7" in said


@pytest.mark.parametrize(
    "content", ["", "[]", "null", "[" * 100_000, '{"a":' * 100_000, "\x00", '{"format": 1}']
)
def test_any_other_about_json_is_refused(plain, content):
    (plain / "checkpoints" / "6" / "about.json").write_text(content)
    assert "about.json cannot be read (" in refusal(CheckpointError, checkpoints.find, plain)


@pytest.mark.parametrize("recorded", [None, 3, "x", {}, [[1, 2]], {"config.yml": 5}])
def test_checksums_that_are_none_are_refused(plain, recorded):
    edit(plain, sha256=recorded)
    assert "damaged" in refusal(CheckpointError, checkpoints.find, plain)


def test_a_checkpoint_of_before_there_were_checksums_is_read(run):
    expected = state_of(run)
    edit(run, sha256=...)
    assert_same_state(state_of(run), expected)


def test_a_folder_that_is_named_for_no_step_is_passed_over(plain):
    for name in ("²", "007", "-1", "8.partial", "٣"):
        (plain / "checkpoints" / name).mkdir()
    (plain / "checkpoints" / "9").write_text("a file")
    assert checkpoints.find(plain).step == 6


def test_a_copy_of_a_checkpoint_may_have_any_name(run):
    copy = (run / "checkpoints" / "6").rename(run / "2026")
    assert checkpoints.find(copy).step == 6
    assert state_of(copy).step == 6


@pytest.mark.parametrize("framework", ["torch"])
@pytest.mark.parametrize("command", ["sample", "evaluate", "convert", "train"])
def test_no_checksum_reads_what_is_changed(framework, command, run, tmp_path, monkeypatch, capsys):
    for name in ("evaluate", "train"):
        monkeypatch.setattr(
            sys.modules[f"meanflow_repro.{name}"], "print_scores", lambda *_, **__: 0
        )
    file = run / "checkpoints" / "6" / "config.yml"
    file.write_text(file.read_text() + "# a comment\n")
    options = {
        "sample": ["--checkpoint", run, "--output-dir", tmp_path / "out"],
        "evaluate": ["--checkpoint", run, "--num-samples", "100"],
        "convert": ["--checkpoint", run, "--safetensors", tmp_path / "out.safetensors"],
        "train": ["--framework", framework, "--config", file, "--workdir", run],
    }
    asked = [command, *map(str, options[command])]
    assert "config.yml is damaged" in refused(capsys, *asked)
    assert main([*asked, "--no-checksum"]) == 0


@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_what_a_framework_says_of_its_own_files_is_not_passed_on(run):
    """Advice to switch off weights_only, half a page of TensorStore."""
    edit(run, sha256=...)
    state = run / "checkpoints" / "6" / "state"
    for file in (state, *state.rglob("*")):
        if file.is_file():
            file.write_bytes(b"\x00" * 100)
    said = refusal(CheckpointError, state_of, run)
    assert said.startswith(f"the checkpoint {state} cannot be read (")
    assert "): it is damaged, or of another network; the newest undamaged one is" in said
