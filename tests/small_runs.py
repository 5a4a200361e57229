"""Runs of a few steps on a network of a few parameters."""

import numpy as np

from impls.common.config_files import load_config
from impls.files import checkpoints
from impls.frameworks import implementation
from impls.interop.convert import canonical_state
from impls.trainer.train import train
from verify.checks.checkpoint import state_mismatches

SMALL = {
    "training.batch_size": 32,
    "training.num_steps": 6,
    "training.log_per_step": 2,
    "training.checkpoint_per_epoch": 1,
    "model.hidden_size": 16,
    "model.depth": 1,
    "model.num_heads": 2,
    "model.patch_size": 4,
}


def small(**changes):
    """The small configuration with changes, as training__num_steps=4."""
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return load_config("digits", {**SMALL, **dotted})


def trained(framework, workdir, **changes):
    """Train the small configuration with changes, or go on with its run."""
    return train(implementation(framework), framework, small(**changes), workdir)


def state_of(workdir):
    """The canonical state of the newest checkpoint of a run."""
    return canonical_state(checkpoints.find(workdir))


def assert_same_state(one, other):
    """Two canonical states agree in every count and in every bit of their arrays."""
    assert [place for place, error in state_mismatches(one, other, "state") if error] == []


def assert_near(one, other, limit):
    """No entry differs by more than the limit times the largest one of its array, or 0.01."""
    for ours, theirs in ((one.params, other.params), (one.ema_params, other.ema_params)):
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            scale = max(np.abs(theirs[name]).max(), 1e-2)
            assert np.abs(array - theirs[name]).max() / scale < limit, name
