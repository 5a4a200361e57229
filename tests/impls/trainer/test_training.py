"""The training loop and its checkpoints, in both frameworks, on a network of a few parameters."""

import json
import shutil

import numpy as np
import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]
from refusals import refusal
from small_runs import assert_near, assert_same_state, small, state_of, trained

from impls.common.config import OFFICIAL_ONLY
from impls.common.config_files import load_config
from impls.common.errors import Notice
from impls.files import checkpoints
from impls.files.checkpoints import CheckpointError
from impls.frameworks import implementation
from impls.trainer.train import TrainingError
from meanflow_repro import main

COSINE = {"training__schedule": "cosine"}


def test_a_run_leaves_its_log_configuration_and_checkpoint(framework, tmp_path):
    saved = trained(framework, tmp_path).checkpoint
    assert (saved.step, saved.framework, saved.config) == (6, framework, small())
    assert load_config(tmp_path / "config.yml") == small()
    lines = [json.loads(line) for line in (tmp_path / "scalars.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    names = {"loss", "v_loss", "grad_norm", "learning_rate", "steps_per_second"}
    for line in lines:
        assert names <= set(line)
        assert line["loss"] > 0
        assert 0 <= line["data_wait_share"] < 1
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.soak("repetitions", of="repetition")
@pytest.mark.parametrize("repetition", range(20))
def test_a_resumed_run_ends_with_the_same_bits(framework, repetition, moments, tmp_path):
    seed = {"training__seed": moments.randrange(2**32)}
    trained(framework, tmp_path / "whole", **seed)
    stop = moments.randrange(1, small().training.num_steps)
    trained(framework, tmp_path / "halves", **seed, training__num_steps=stop)
    trained(framework, tmp_path / "halves", **seed)
    assert_same_state(state_of(tmp_path / "whole"), state_of(tmp_path / "halves"))


def test_a_run_whose_configuration_has_keys_that_were_dropped_since_resumes(framework, tmp_path):
    """As an older version stored it: with the keys of official files that have no effect."""
    draws = {"training__draws": "device"}
    trained(framework, tmp_path / "whole", **draws)
    trained(framework, tmp_path / "halves", **draws, training__num_steps=4)
    for about in (tmp_path / "halves").rglob("about.json"):
        written = json.loads(about.read_text())
        del written["sha256"]
        about.write_text(json.dumps(written))
    for file in (tmp_path / "halves").rglob("config.yml"):
        stored = yaml.safe_load(file.read_text())
        for dotted, value in OFFICIAL_ONLY.items():
            section, key = dotted.split(".")
            stored[section][key] = value
        stored["sampling"]["num_classes"] = 10
        file.write_text(yaml.safe_dump(stored))
    trained(framework, tmp_path / "halves", **draws)
    assert_same_state(state_of(tmp_path / "whole"), state_of(tmp_path / "halves"))


def test_a_finished_run_started_again_leaves_its_checkpoint_alone(framework, tmp_path, monkeypatch):
    """A kill while it was written anew would lose it."""
    ending = trained(framework, tmp_path)
    assert ending.finished
    written: list[object] = []
    monkeypatch.setattr(checkpoints, "write", lambda *arguments: written.append(arguments))
    assert trained(framework, tmp_path) == ending
    with pytest.warns(Notice, match="holds a run of 6 steps, more than the 4 asked for: nothing"):
        assert trained(framework, tmp_path, training__num_steps=4) == ending
    assert load_config(tmp_path / "config.yml") == small()
    assert written == []


@pytest.mark.parametrize("equal_rows", ["first", "random"])
def test_both_frameworks_train_alike(equal_rows, tmp_path):
    ends = []
    for framework in ("jax", "torch"):
        pytest.importorskip(framework)
        trained(framework, tmp_path / framework, method__equal_rows=equal_rows)
        ends.append(state_of(tmp_path / framework))
    assert_near(*ends, limit=1e-2)


def test_only_the_newest_checkpoints_are_kept(framework, tmp_path):
    # Two steps an epoch.
    trained(framework, tmp_path, training__batch_size=719, training__keep_checkpoints=2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["4", "6"]


def test_a_checkpoint_that_is_half_removed_is_not_found(tmp_path, monkeypatch):
    def save(path):
        path.write_text("whole")

    for step in (1, 2):
        checkpoints.write(tmp_path, "torch", step, small(), save)

    def killed(path, **_):
        if (path / "about.json").exists():
            (path / "about.json").unlink()
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.write(tmp_path, "torch", 2, small(), save)
    assert checkpoints.find(tmp_path).step == 1


def test_a_damaged_checkpoint_is_one_sentence(framework, tmp_path):
    saved = trained(framework, tmp_path, training__num_steps=1).checkpoint
    for file in (saved.state, *saved.state.rglob("*")):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    restore = implementation(framework).restore_checkpoint
    assert "cannot be read" in refusal(CheckpointError, restore, saved.state, saved.config)


@pytest.mark.parametrize(
    ("before", "now", "says"),
    [
        ({}, {"method__kappa": 0.3}, "method.kappa is 0.3, but 0.5 in the run"),
        # Without cycle_steps the number of steps shapes the schedule.
        (COSINE, COSINE, "training.num_steps is 6, but 1 in the run"),
    ],
)
def test_another_configuration_is_refused_on_resume(framework, before, now, says, tmp_path):
    trained(framework, tmp_path, **before, training__num_steps=1)
    assert says in refusal(TrainingError, trained, framework, tmp_path, **now)


@pytest.mark.soak("repetitions", of="repetition")
@pytest.mark.parametrize("repetition", range(20))
def test_samples_do_not_depend_on_how_many_are_made(framework, repetition, moments, tmp_path):
    trained(framework, tmp_path / "run")
    made, seed = {}, str(moments.randrange(2**32))
    for count in (3, 5):
        folder = tmp_path / str(count)
        asked = ["--checkpoint", str(tmp_path / "run"), "--output-dir", str(folder)]
        asked += ["--seed", seed]
        assert main(["sample", *asked, "--num-samples", str(count), "--save-images"]) == 0
        assert len(list(folder.glob("0*.png"))) == count
        assert (folder / "grid.png").is_file()
        made[count] = np.load(folder / "samples.npz")
    np.testing.assert_allclose(made[3]["images"], made[5]["images"][:3], rtol=0, atol=1e-5)
    assert made[5]["labels"].tolist() == [0, 1, 2, 3, 4]
