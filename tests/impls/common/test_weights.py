"""Parameters keep every bit under each of their names, and a wrong tensor is named."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impls.common import draws, parameters
from impls.common.config import CLASSES, Network
from impls.common.config_files import load_config
from impls.common.draws import Stream

GOLDEN = Path(__file__).parents[3] / "reference" / "golden"
SIZES = [name for name in CLASSES if name != "DiT"]

# The tensors of facebookresearch/DiT for one block, and the second time embedding of MeanFlow.
TORCH_NAMES = """
x_embedder.proj t_embedder.mlp.0 t_embedder.mlp.2 h_embedder.mlp.0 h_embedder.mlp.2
y_embedder.embedding_table blocks.0.adaLN_modulation.1 blocks.0.attn.qkv blocks.0.attn.proj
blocks.0.mlp.fc1 blocks.0.mlp.fc2 final_layer.adaLN_modulation.1 final_layer.linear
"""


def network_of(name):
    return load_config("mf_b4", {"model.cls": name}).network


def stand_ins(network):
    """Arrays of the right shapes that take no memory: views of a number of their own each."""
    return {
        tensor.name: np.broadcast_to(np.float32(i), tensor.shape)
        for i, tensor in enumerate(parameters.tensors(network))
    }


def random_bits(network, seed, dtype):
    """Arrays of arbitrary bits, NaN and infinity among them."""
    size = np.dtype(dtype).itemsize
    return {
        tensor.name: np.frombuffer(
            draws.generator(seed, Stream.CHECK, i).bytes(size * int(np.prod(tensor.shape))), dtype
        ).reshape(tensor.shape)
        for i, tensor in enumerate(parameters.tensors(network))
    }


@st.composite
def networks(draw):
    """Small networks whose sizes are all different, so that no two axes can be confused."""
    patch, heads = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1, 2, 3]))
    return Network(
        input_size=patch * draw(st.integers(1, 3)),
        patch_size=patch,
        in_channels=draw(st.integers(1, 5)),
        hidden_size=4 * heads * draw(st.integers(1, 2)),
        depth=draw(st.integers(1, 3)),
        num_heads=heads,
        mlp_ratio=draw(st.sampled_from([0.5, 1.0, 2.5, 4.0])),
        num_classes=draw(st.integers(1, 7)),
    )


# The fifteen sizes


def test_the_fifteen_sizes_have_as_many_parameters_as_in_the_official_code():
    counts = {}
    for name in SIZES:
        tensors = parameters.tensors(network_of(name))
        num_parameters = parameters.num_parameters(network_of(name))
        counts[name] = {"params": num_parameters, "tensors": len(tensors)}
    assert counts == json.loads((GOLDEN / "param_counts.json").read_text())
    assert len(counts) == 15


def test_official_names_and_shapes_are_those_of_the_official_code():
    listed = json.loads((GOLDEN / "params_DiT_B_4.json").read_text())
    tensors = parameters.tensors(network_of("DiT_B_4"))
    assert {tensor.official: list(tensor.shape) for tensor in tensors} == listed


@pytest.mark.parametrize("name", SIZES)
def test_official_names_lead_every_tensor_there_and_back(name):
    network = network_of(name)
    params = stand_ins(network)
    back = parameters.from_official(network, parameters.to_official(network, params))
    assert list(back) == list(params)
    assert all(back[name] is params[name] for name in params)


def test_pytorch_names_are_those_of_the_dit_repository(tiny):
    got = {tensor.torch for tensor in parameters.tensors(tiny.network)}
    expected = {f"{name}.{part}" for name in TORCH_NAMES.split() for part in ("weight", "bias")}
    expected.remove("y_embedder.embedding_table.bias")
    assert {name for name in got if not name.startswith("blocks.1.")} == expected
    assert {name.replace("blocks.1.", "blocks.0.") for name in got} == expected


# Round trips


@settings(max_examples=25)
@given(networks(), st.integers(0, 99), st.sampled_from([np.float32, np.float64]))
def test_every_form_keeps_every_bit(network, seed, dtype):
    params = random_bits(network, seed, dtype)
    official = parameters.from_official(network, parameters.to_official(network, params))
    torch = parameters.from_torch(network, parameters.to_torch(network, params))
    for back in (official, torch):
        assert list(back) == list(params)
        for name, array in params.items():
            assert (back[name].dtype, back[name].shape) == (dtype, array.shape)
            assert back[name].tobytes() == array.tobytes()


def test_implementations_keep_every_bit(subject, case):
    params = random_bits(case.config.network, 0, np.float32)
    back = subject.export_params(case.config, subject.load_params(case.config, params))
    assert list(back) == list(params)
    assert all(back[name].tobytes() == params[name].tobytes() for name in params)


def test_pytorch_layouts_are_those_of_its_layers(case):
    params, network = case.params, case.config.network
    state = parameters.to_torch(network, params)
    kernel, patches = params["blocks_0/mlp/fc1/kernel"], params["x_embedder/kernel"]
    assert state["blocks.0.mlp.fc1.weight"].shape == (16, 8)  # (out, in)
    assert state["blocks.0.mlp.fc1.weight"][5, 3] == kernel[3, 5]
    assert state["x_embedder.proj.weight"].shape == (8, 1, 2, 2)  # (out, in, height, width)
    assert state["x_embedder.proj.weight"][6, 0, 0, 1] == patches[0, 1, 0, 6]
    table = params["y_embedder/embedding"]
    np.testing.assert_array_equal(state["y_embedder.embedding_table.weight"], table)


def test_pytorch_arrays_are_contiguous_copies(case):
    network = case.config.network
    state = parameters.to_torch(network, case.params)
    back = parameters.from_torch(network, state)
    for tensor in parameters.tensors(network):
        here, there = state[tensor.torch], back[tensor.name]
        assert here.flags.c_contiguous, tensor.torch
        assert there.flags.c_contiguous, tensor.name
        assert not np.shares_memory(here, case.params[tensor.name]), f"to_torch: {tensor.torch}"
        assert not np.shares_memory(here, there), f"from_torch: {tensor.name}"


# Wrong parameters

FORMS: dict[str, Callable[..., Any]] = {
    "name": parameters.check_parameters,
    "official": parameters.from_official,
    "torch": parameters.from_torch,
}


def in_form(form, case):
    network = case.config.network
    makers = {"name": lambda _, params: params, "official": parameters.to_official}
    return network, dict(makers.get(form, parameters.to_torch)(network, case.params))


@pytest.mark.parametrize("form", FORMS)
def test_whole_parameters_are_accepted_in_any_order_and_any_wrong_one_is_named(form, case):
    network, params = in_form(form, case)
    FORMS[form](network, dict(reversed(params.items())))
    extra = {**params, "blocks_2/bias": np.zeros(3)}
    wrong = {"parameter blocks_2/bias is unknown to this network": extra}
    for name, array in params.items():
        rest = {other: kept for other, kept in params.items() if other != name}
        wrong[f"parameter {name} is missing: expected shape"] = rest
        says = f"parameter {name} has shape {(*array.shape, 1)}, expected {array.shape}:"
        wrong[says] = {**params, name: array[..., None]}
    for message, changed in wrong.items():
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            FORMS[form](network, changed)


@pytest.mark.parametrize("convert", [parameters.to_official, parameters.to_torch])
def test_nothing_incomplete_is_converted(convert, case):
    rest = {name: array for name, array in case.params.items() if name != "final_layer/linear/bias"}
    with pytest.raises(ValueError, match="parameter final_layer/linear/bias is missing"):
        convert(case.config.network, rest)


def test_implementations_name_a_wrong_tensor(subject, case):
    name, params = "blocks_1/attn/qkv/kernel", dict(case.params)
    transposed = {**params, name: params[name].T}
    with pytest.raises(ValueError, match=rf"^parameter {name} has shape \(24, 8\), expected \(8"):
        subject.load_params(case.config, transposed)
    with pytest.raises(ValueError, match=r"^parameter other is unknown"):
        subject.load_params(case.config, {**params, "other": params[name]})
    del params[name]
    with pytest.raises(ValueError, match=rf"^parameter {name} is missing"):
        subject.load_params(case.config, params)


# Initial parameters


def test_initial_parameters_are_float32_of_every_tensor(tiny):
    params = parameters.initial_parameters(tiny.network, 0)
    parameters.check_parameters(tiny.network, params)
    assert {array.dtype for array in params.values()} == {np.dtype(np.float32)}


def test_a_tensor_starts_the_same_in_a_deeper_network(tiny):
    shallow, deep = (
        parameters.initial_parameters(load_config("digits", {"model.depth": depth}).network, 3)
        for depth in (1, 3)
    )
    assert all(np.array_equal(array, deep[name]) for name, array in shallow.items())


def test_another_seed_starts_every_random_tensor_anew(tiny):
    one, other = (parameters.initial_parameters(tiny.network, seed) for seed in (0, 1))
    for tensor in parameters.tensors(tiny.network):
        same = np.array_equal(one[tensor.name], other[tensor.name])
        assert same == (tensor.law == "zeros"), tensor.name


def test_no_two_random_tensors_start_alike(tiny):
    params = parameters.initial_parameters(tiny.network, 0)
    random = [array for array in params.values() if array.any()]
    assert len({array.reshape(-1)[:8].tobytes() for array in random}) == len(random)
