"""Parameters keep every bit under each of their names, and a wrong tensor is named."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impls.common import draws, parameters
from impls.common.config_files import load_config
from impls.common.draws import Stream
from impls.common.networks.dit import Sizes
from impls.frameworks import implementation

# The tensors of facebookresearch/DiT for one block, and the second time embedding of MeanFlow.
TORCH_NAMES = """
x_embedder.proj t_embedder.mlp.0 t_embedder.mlp.2 h_embedder.mlp.0 h_embedder.mlp.2
y_embedder.embedding_table blocks.0.adaLN_modulation.1 blocks.0.attn.qkv blocks.0.attn.proj
blocks.0.mlp.fc1 blocks.0.mlp.fc2 final_layer.adaLN_modulation.1 final_layer.linear
"""


def random_bits(network, seed, dtype):
    """Arrays of arbitrary bits, NaN and infinity among them."""
    size = np.dtype(dtype).itemsize
    return {
        tensor.name: np.frombuffer(
            draws.generator(seed, Stream.CHECK, i).bytes(size * int(np.prod(tensor.shape))), dtype
        ).reshape(tensor.shape)
        for i, tensor in enumerate(parameters.tensors(network))
    }


def assert_every_bit(back, params):
    """The same tensors in the same order, with the same dtype, shape and bits."""
    assert list(back) == list(params)
    for name, array in params.items():
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)
        assert back[name].tobytes() == array.tobytes()


@st.composite
def networks(draw):
    """Small networks whose sizes are all different, so that no two axes can be confused."""
    patch, heads = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1, 2, 3]))
    return Sizes(
        input_size=patch * draw(st.integers(1, 3)),
        patch_size=patch,
        in_channels=draw(st.integers(1, 5)),
        hidden_size=4 * heads * draw(st.integers(1, 2)),
        depth=draw(st.sampled_from([1, 2, 11])),  # the name of block 10 sorts before that of 2
        num_heads=heads,
        mlp_ratio=draw(st.sampled_from([0.5, 1.0, 2.5, 4.0])),
        num_classes=draw(st.integers(1, 7)),
    )


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
    official = parameters.to_official(network, params)
    assert_every_bit(parameters.from_official(network, official), params)
    torch = parameters.to_torch(network, params)
    assert_every_bit(parameters.from_torch(network, torch), params)


def test_implementations_keep_every_bit(subject):
    config = load_config("digits", {"model.depth": 12})
    params = random_bits(config.network, 0, np.float32)
    back = subject.export_params(config, subject.load_params(config, params))
    assert_every_bit(back, params)


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


@pytest.mark.parametrize(
    ("function", "named_by"),
    [
        (parameters.check_parameters, None),
        (parameters.to_official, None),
        (parameters.to_torch, None),
        (parameters.from_official, parameters.to_official),
        (parameters.from_torch, parameters.to_torch),
        ("jax", None),
        ("torch", None),
    ],
)
def test_whole_parameters_are_accepted_in_any_order_and_any_wrong_one_is_named(
    function, named_by, case
):
    network, params = case.config.network, dict(case.params)
    if named_by:
        params = named_by(network, params)
    if isinstance(function, str):
        pytest.importorskip(function)
        network, function = case.config, implementation(function).load_params
    function(network, dict(reversed(params.items())))
    extra = {**params, "blocks_2/bias": np.zeros(3)}
    wrong = {"parameter blocks_2/bias is unknown to this network": extra}
    for name, array in params.items():
        rest = {other: kept for other, kept in params.items() if other != name}
        wrong[f"parameter {name} is missing: expected shape"] = rest
        says = f"parameter {name} has shape {(*array.shape, 1)}, expected {array.shape}:"
        wrong[says] = {**params, name: array[..., None]}
    for message, changed in wrong.items():
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            function(network, changed)


# Initial parameters


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
