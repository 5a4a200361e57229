"""Checkpoints of the authors' code: every bit of them, and what is said of files that are none."""

import json
import re
import shutil

import numpy as np
import pytest
import yaml
from refusals import refusal
from small_runs import assert_same_state

from impls.common import parameters
from impls.common.config_files import from_sizes, load_config
from impls.common.draws import sampling_noise, training_draws
from impls.common.errors import UserError
from impls.common.networks.dit import CLASSES
from impls.common.types import Batch, CanonicalState
from impls.files import checkpoints
from impls.frameworks import implementation
from impls.interop.convert import canonical_state, import_official
from impls.interop.official_checkpoint import find_official, likely_size, load_official
from meanflow_repro import main
from verify.golden import BUNDLED

CHECKPOINT = BUNDLED / "checkpoint_5"


@pytest.fixture
def config():
    sizes = json.loads((BUNDLED / "train_5_steps.json").read_text())
    return from_sizes(sizes["model"], sizes["method"])


def test_parameters_and_average_are_those_after_five_steps(config):
    state, numbers = load_official(CHECKPOINT, config), np.load(BUNDLED / "train_5_steps.npz")
    assert state.step == 5
    for kind, params in (("params", state.params), ("ema", state.ema_params)):
        official = parameters.to_official(config.network, params)
        assert len(official) == 35
        for name, array in official.items():
            assert np.array_equal(array, numbers[f"{kind}/{name}"]), name


def test_an_import_is_exact_and_goes_on(framework, config, tmp_path):
    module = implementation(framework)
    found = import_official(CHECKPOINT, config, framework, tmp_path / "run")
    assert_same_state(canonical_state(found), load_official(CHECKPOINT, config))
    restored = module.restore_checkpoint(found.state, found.config)
    images, labels = sampling_noise(config, 0, range(8)), np.arange(8, dtype=np.int32)
    draws = training_draws(config, 0, 0, batch_size=8)
    after, loss = module.train_step(config, restored, *module.put((Batch(images, labels), draws)))
    assert int(module.get(after.step)) == 6
    assert np.isfinite(module.get(loss.total))


@pytest.mark.parametrize("given", ["file", "folder", "parent", "above"])
def test_a_checkpoint_is_found_from_where_a_user_points(given, tmp_path):
    for step in (5, 40):
        folder = tmp_path / "unzipped" / "run" / f"checkpoint_{step}"
        shutil.copytree(CHECKPOINT, folder)
    places = {"file": folder / "checkpoint", "folder": folder, "parent": folder.parent}
    found = find_official(places.get(given, folder.parent.parent))
    assert found == folder / "checkpoint"


@pytest.mark.parametrize("size", ["DiT_B_4", "DiT_S_8", "DiT_M_2", "DiT_L_4", "DiT_XL_2"])
def test_the_size_is_recognized_by_its_tensors(size):
    network = load_config("mf_b4", {"model.cls": size}).network
    shapes = {tensor.official: np.broadcast_to(0.0, tensor.shape) for tensor in
              parameters.tensors(network)}  # fmt: skip
    assert likely_size(shapes) == size


CONTENT = (CHECKPOINT / "checkpoint").read_bytes()


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("checkpoint", b"<!DOCTYPE html><html><body>Sign in</body></html>", "is a web page"),
        ("checkpoint", CONTENT[: len(CONTENT) // 2], "is not a complete msgpack file"),
        ("checkpoint", b"", "is empty"),
        ("checkpoint", b"\x05", "is not a checkpoint"),
        ("checkpoint", b"\x81\xa4step\x05", "has no params"),
        ("manifest.ocdbt", b"x", "OCDBT|cannot be read by Orbax"),
        ("other", b"", "there is no official checkpoint"),
    ],
)
def test_a_file_that_is_none_is_said_in_one_sentence(file, content, says, tmp_path, config):
    (tmp_path / file).write_bytes(content)
    assert re.search(says, refusal(UserError, load_official, tmp_path, config))


def _convert(tmp_path, config, *more):
    file = tmp_path / "network.yml"
    file.write_text(yaml.safe_dump(config))
    return main(["convert", "--from-official", str(CHECKPOINT), f"--config={file}", *more])


def test_the_command_line_imports_and_names_a_wrong_tensor(framework, config, tmp_path, capsys):
    plain = config.model_dump(mode="json")
    options = ("--framework", framework, f"--output={tmp_path / 'run'}")
    weights_file = tmp_path / "plain.safetensors"
    assert _convert(tmp_path, plain, *options, f"--safetensors={weights_file}") == 0
    assert checkpoints.find(tmp_path / "run").step == 5
    assert weights_file.is_file()
    assert _convert(tmp_path, plain, *options) == 2
    assert "holds checkpoints already" in capsys.readouterr().err
    plain["model"]["depth"] = 3
    other = ("--framework", framework, f"--output={tmp_path / 'other'}")
    assert _convert(tmp_path, plain, *other) == 2
    assert "net/blocks/layers_2/adaLN_modulation/layers_1" in capsys.readouterr().err


# Other formats of the same tree


def _tree():
    """The real checkpoint, as flax reads it."""
    serialization = pytest.importorskip("flax.serialization")
    return serialization.msgpack_restore((CHECKPOINT / "checkpoint").read_bytes())


def test_a_folder_in_orbax_later_format_gives_the_same(config, tmp_path):
    orbax = pytest.importorskip("orbax.checkpoint")
    orbax.PyTreeCheckpointer().save(tmp_path / "run" / "checkpoint_5", _tree())
    assert (tmp_path / "run" / "checkpoint_5" / "manifest.ocdbt").is_file()
    assert_same_state(load_official(tmp_path, config), load_official(CHECKPOINT, config))


@pytest.mark.parametrize("key", [None, "params", "ema_params"])
def test_parameters_alone_are_imported_with_a_fresh_optimizer(key, config, tmp_path):
    serialization, params = pytest.importorskip("flax.serialization"), _tree()["ema_params"]
    file = tmp_path / "weights.msgpack"
    file.write_bytes(serialization.msgpack_serialize({key: params} if key else params))
    expected, fresh = load_official(CHECKPOINT, config).ema_params, parameters.zeros(config.network)
    state = CanonicalState(0, expected, expected, (), 0, fresh, fresh)
    assert_same_state(load_official(file, config), state)


@pytest.mark.parametrize("size", [name for name in CLASSES if name != "DiT"])
def test_both_frameworks_have_the_official_shapes_at_every_size(size, framework):
    config = load_config("mf_b4", {"model.cls": size})
    shapes = implementation(framework).parameter_shapes(config)
    assert shapes == {tensor.name: tensor.shape for tensor in parameters.tensors(config.network)}
