"""Checkpoints in the other framework: conversion, plain weights, samples, further training."""

import numpy as np
import pytest
from refusals import refusal
from results_records import refused
from small_runs import assert_near, assert_same_state, state_of, trained

from impls.common import parameters
from impls.common.config_files import load_config
from impls.common.errors import UserError
from impls.files import checkpoints
from impls.files.checkpoints import CheckpointError
from impls.interop.convert import canonical_state, convert
from meanflow_repro import main

pytest.importorskip("jax")
pytest.importorskip("torch")

EVERYTHING = {
    "training__num_steps": 4,
    "training__ema_more": [0.5, 0.9],
    "training__ema_warmup": False,  # in a few steps averages that warm up are all the same
    "training__schedule": "cosine",
    "training__cycle_steps": 3,
    "training__weight_decay": 0.1,
    "training__max_grad_norm": 0.5,
}
OTHER = {"jax": "torch", "torch": "jax"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A short run of each framework with everything in its state."""
    folders = {}
    for framework in OTHER:
        folders[framework] = tmp_path_factory.mktemp(framework) / "run"
        trained(framework, folders[framework], **EVERYTHING)
    return folders


@pytest.mark.parametrize("framework", OTHER)
def test_conversion_there_and_back_loses_no_bit(framework, runs, tmp_path):
    start, other = checkpoints.find(runs[framework]), OTHER[framework]
    options = ["--checkpoint", str(runs[framework]), "--output", str(tmp_path / "there")]
    assert main(["convert", *options, "--framework", other]) == 0
    there = checkpoints.find(tmp_path / "there")
    assert (there.framework, there.config) == (other, start.config)
    back, state = convert(there, framework, tmp_path / "back"), canonical_state(start)
    assert (state.step, state.num_updates, len(state.ema_more)) == (4, 4, 2)
    for converted in (there, back):
        assert_same_state(canonical_state(converted), state)


@pytest.mark.parametrize("framework", OTHER)
def test_a_converted_run_goes_on_as_the_other_would(framework, runs, tmp_path):
    """One more step from the same state, in both frameworks."""
    longer, ends = {**EVERYTHING, "training__num_steps": 5}, []
    for target in OTHER:
        folder = tmp_path / target
        convert(checkpoints.find(runs[framework]), target, folder)
        trained(target, folder, **longer)
        ends.append(state_of(folder))
    assert_near(*ends, limit=1e-3)


def sampled(run, folder, *options):
    """Samples that the command makes of a run."""
    given = ["--checkpoint", str(run), "--output-dir", str(folder), *options]
    assert main(["sample", *given]) == 0
    images: np.ndarray = np.load(folder / "samples.npz")["images"]
    return images


def test_a_run_that_another_process_began_meanwhile_is_kept(runs, tmp_path, monkeypatch):
    found, output = checkpoints.find(runs["torch"]), tmp_path / "run"

    def slow(*given):
        checkpoints.write(output, "jax", 4, found.config, lambda path: path.write_text("theirs"))
        return canonical_state(*given)

    monkeypatch.setattr("impls.interop.convert.canonical_state", slow)
    assert "holds checkpoints already" in refusal(CheckpointError, convert, found, "jax", output)
    assert checkpoints.find(output).state.read_text() == "theirs"


@pytest.mark.parametrize("framework", OTHER)
def test_either_framework_samples_from_either_checkpoint(framework, runs, tmp_path):
    options = ["--num-samples", "10", "--num-steps", "2", "--framework"]
    made = [sampled(runs[framework], tmp_path / name, *options, name) for name in OTHER]
    np.testing.assert_allclose(*made, rtol=0, atol=2e-5)


def test_weights_are_chosen_by_name(runs, tmp_path):
    found = [
        sampled(runs["torch"], tmp_path / which, "--num-samples", "3", "--weights", which)
        for which in ("ema", "0.995", "0.5", "params")
    ]
    assert (found[0] == found[1]).all()
    assert not (found[0] == found[2]).all()
    assert not (found[2] == found[3]).all()


def test_an_average_that_was_not_kept_is_one_sentence(runs, tmp_path, capsys):
    options = ["--checkpoint", runs["torch"], "--output-dir", tmp_path / "out"]
    said = refused(capsys, "sample", *options, "--weights", "0.7")
    assert said.endswith("expected ema, params or one of 0.995, 0.5, 0.9\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("framework", OTHER)
def test_safetensors_are_a_state_dict_of_the_torch_network(framework, runs, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import load_file

    from impls.meanflow_torch import DiT

    file = tmp_path / "weights" / "ema.safetensors"
    options = ["--checkpoint", str(runs[framework]), "--safetensors", str(file)]
    assert main(["convert", *options]) == 0
    found = checkpoints.find(runs[framework])
    DiT(found.config.network).load_state_dict(load_file(file), strict=True)
    read = {name: tensor.numpy() for name, tensor in load_file(file).items()}
    canonical = parameters.from_torch(found.config.network, read)
    whole = canonical_state(found)
    assert_same_state(whole._replace(ema_params=canonical), whole)
    with safe_open(file, "np") as opened:
        about = opened.metadata()
    assert about["step"] == "4"
    (tmp_path / "config.yml").write_text(about["config"])
    assert load_config(tmp_path / "config.yml") == found.config


def test_a_run_starts_from_load_from(runs, tmp_path):
    """Also from a checkpoint of the other framework, with its step and moments."""
    longer = {**EVERYTHING, "training__num_steps": 6}
    saved = trained("jax", tmp_path / "on", **longer, load_from=str(runs["torch"])).checkpoint
    convert(checkpoints.find(runs["torch"]), "jax", tmp_path / "converted")
    trained("jax", tmp_path / "converted", **longer)
    assert saved.step == 6
    assert_same_state(state_of(tmp_path / "on"), state_of(tmp_path / "converted"))


def test_load_from_a_longer_run_is_one_sentence(runs, tmp_path):
    shorter = {**EVERYTHING, "training__num_steps": 3, "load_from": str(runs["torch"])}
    said = refusal(UserError, trained, "torch", tmp_path, **shorter)
    assert said.startswith("load_from is a checkpoint of step 4, beyond the 3 steps: raise")


def test_load_from_another_size_is_one_sentence(runs, tmp_path):
    wider = {**EVERYTHING, "model__hidden_size": 32, "load_from": str(runs["torch"])}
    said = refusal(CheckpointError, trained, "torch", tmp_path, **wider)
    assert "holds another network" in said
