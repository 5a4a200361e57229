"""Checkpoints of PyTorch ports: by which names they are known, and what is said of others."""

import argparse

import numpy as np
import pytest
from refusals import refusal

from impls.common import parameters
from impls.common.config_files import load_config
from impls.common.errors import UserError
from impls.common.parameters import initial_parameters
from impls.common.positions import position_embedding
from impls.files import checkpoints
from impls.interop.convert import canonical_state
from impls.interop.torch_weights import load_torch
from meanflow_repro import main

torch = pytest.importorskip("torch")


@pytest.fixture
def config():
    return load_config("digits", {"model.hidden_size": 24, "model.depth": 2, "model.num_heads": 3})


@pytest.fixture
def params(config):
    return initial_parameters(config.network, 3)


def named_as_in_sit(config, params, before=""):
    """A state dict as SiT ports of MeanFlow write it: r_embedder, and the fixed positions."""
    state = {
        name.replace("h_embedder.", "r_embedder."): torch.from_numpy(array)
        for name, array in parameters.to_torch(config.network, params).items()
    }
    size = config.network
    positions = position_embedding(size.hidden_size, size.input_size // size.patch_size)
    state["pos_embed"] = torch.from_numpy(positions).float()[None]
    return {before + name: array for name, array in state.items()}


def same(found, expected):
    return all(np.array_equal(found[name], array) for name, array in expected.items())


@pytest.mark.parametrize("before", ["", "module.", "_orig_mod.module.", "model.net."])
def test_a_sit_training_file_gives_parameters_average_and_step(before, config, params, tmp_path):
    average = initial_parameters(config.network, 4)
    content = {
        "model": named_as_in_sit(config, params, before),
        "ema": named_as_in_sit(config, average),
        "opt": {"state": {}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.95)}]},
        "args": argparse.Namespace(model="SiT-B/4", cfg_omega=1.0),
        "steps": 400000,
    }
    torch.save(content, tmp_path / "0400000.pt")
    state = load_torch(tmp_path / "0400000.pt", config)
    assert same(state.params, params)
    assert same(state.ema_params, average)
    assert (state.step, state.num_updates) == (400000, 0)
    assert not any(array.any() for array in state.first_moment.values())


@pytest.mark.parametrize("kind", ["bare", "ema", "half"])
def test_what_is_missing_of_parameters_and_average_is_the_other(kind, config, params, tmp_path):
    state = named_as_in_sit(config, params)
    if kind == "half":
        state = {name: tensor.half() for name, tensor in state.items() if name != "pos_embed"}
        params = {name: array.astype(np.float16).astype(np.float32) for name, array in
                  params.items()}  # fmt: skip
    torch.save({"ema": state} if kind == "ema" else state, tmp_path / "weights.pt")
    found = load_torch(tmp_path / "weights.pt", config)
    assert same(found.params, params)
    assert same(found.ema_params, params)
    assert all(array.dtype == np.float32 for array in found.params.values())


@pytest.mark.parametrize("embedding", ["t_r", "t_r_h", "h"])
def test_an_embedder_of_r_is_one_where_the_network_has_it(embedding, tmp_path):
    config = load_config("digits", {"model.depth": 1, "model.embedding": embedding})
    params = initial_parameters(config.network, 3)
    state = parameters.to_torch(config.network, params)
    named = {name: torch.from_numpy(array) for name, array in state.items()}
    torch.save(named, tmp_path / "weights.pt")
    assert same(load_torch(tmp_path / "weights.pt", config).params, params)


def test_the_command_line_reads_what_it_wrote_and_renames(config, params, tmp_path):
    state = {
        name.replace("r_embedder", "dt_embed"): tensor
        for name, tensor in named_as_in_sit(config, params).items()
    }
    torch.save(state, tmp_path / "weights.pt")
    size = ("--config=digits", "--model.hidden-size=24", "--model.depth=2", "--model.num-heads=3")
    out = ("--framework=torch", f"--output={tmp_path / 'run'}")
    given = ("convert", f"--from-torch={tmp_path / 'weights.pt'}", *size, *out)
    plain = tmp_path / "plain.safetensors"
    renamed = ("--rename", "dt_embed.=h_embedder.", f"--safetensors={plain}")
    assert main([*given]) == 2
    assert main([*given, *renamed]) == 0
    assert same(canonical_state(checkpoints.find(tmp_path / "run")).params, params)
    assert same(load_torch(plain, config).params, params)
    again = ("--framework=torch", f"--output={tmp_path / 'again'}")
    assert main(["convert", f"--from-torch={plain}", *size, *again]) == 0
    assert same(canonical_state(checkpoints.find(tmp_path / "again")).ema_params, params)


WEB_PAGE = b"\n<!DOCTYPE html><html><body>Sign in</body></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"


@pytest.mark.parametrize(
    ("suffix", "content", "says"),
    [
        ("pt", None, "is not there"),
        ("pt", WEB_PAGE, "is a web page"),
        ("safetensors", WEB_PAGE, "is a web page"),
        ("pt", POINTER, "git lfs pull"),
        ("pt", b"PK\x03\x04", "cannot be read"),
        ("safetensors", b"\x40" + bytes(7) + b"{", "not a complete safetensors file"),
        ("pt", [1, 2], "holds a list, expected a state dict"),
        ("pt", {"name": "SiT-B/4"}, "is a str, expected a tensor"),
        ("pt", {"hook": torch.nn.Linear(1, 1)}, "nn.modules.linear.Linear, which is not data"),
        ("pt", {"pos_embed": torch.zeros(1, 16, 24)}, "is not the fixed sine and cosine embedding"),
        ("pt", {"x_embedder.proj.bias": torch.zeros(7)}, "bias has shape (7,), expected (24,)"),
        ("pt", {"skip.weight": torch.zeros(7)}, "parameter skip.weight is unknown to this network"),
    ],
)
def test_a_file_that_is_none_is_said_in_one_sentence(
    suffix, content, says, config, params, tmp_path
):
    """A dictionary is laid over a whole state dict."""
    file = tmp_path / f"weights.{suffix}"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        whole = named_as_in_sit(config, params)
        torch.save(whole | content if isinstance(content, dict) else content, file)
    said = refusal(UserError, load_torch, file, config)
    assert str(file) in said
    assert says in said
