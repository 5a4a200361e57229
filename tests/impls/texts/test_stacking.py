"""Blocks are stacked in order, and stored as they were before they were stacked."""

import re

import numpy as np
import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict

from impls import meanflow_jax
from impls.common.config_files import load_config
from impls.common.parameters import initial_parameters, tensors
from impls.meanflow_jax.stacking import stack, unstack

DEEP = {"model.depth": 12, "model.hidden_size": 8, "model.num_heads": 2, "model.patch_size": 4}


def test_blocks_are_stacked_by_number_whatever_their_order():
    # In order of the text block 10 stands before block 2.
    flat = {f"blocks_{i}/fc/bias": np.full(2, i) for i in sorted(range(12), key=str)}
    stacked = stack(flat | {"head/bias": np.zeros(3)}, np.stack)
    assert stacked["blocks"]["fc"]["bias"].tolist() == [[i, i] for i in range(12)]
    assert stacked["head"]["bias"].shape == (3,)


def test_every_parameter_comes_back_under_its_name():
    config = load_config("digits", DEEP)
    canonical = initial_parameters(config.network, 0)
    exported = meanflow_jax.export_params(config, meanflow_jax.load_params(config, canonical))
    assert [*exported] == [*canonical]
    assert all(np.array_equal(exported[name], array) for name, array in canonical.items())


def test_parameters_without_blocks_are_left_alone():
    flat = {"blocks_of_four/bias": np.zeros(1), "x/blocks_0/bias": np.ones(2)}
    assert unstack(stack(flat)).keys() == flat.keys()
    assert stack(flat)["blocks_of_four"]["bias"].shape == (1,)


def test_a_checkpoint_holds_each_block_under_its_own_name(tmp_path):
    config = load_config("digits", DEEP)
    state = meanflow_jax.init_state(config, meanflow_jax.init_params(config, 0))
    meanflow_jax.save_checkpoint(tmp_path / "state", state)
    with ocp.StandardCheckpointer() as checkpointer:
        held = checkpointer.metadata(tmp_path / "state").item_metadata.tree
    for tree in (held["params"], held["ema_params"], held["opt_state"][0]["mu"]):
        names = {*flatten_dict(tree, sep="/")}
        assert names == {tensor.name for tensor in tensors(config.network)}
        assert any(re.match("blocks_11/", name) for name in names)
