"""Runs of a few steps on a network of a few parameters."""

import numpy as np

from impls.common.config_files import load_config
from impls.files import checkpoints
from impls.frameworks import implementation
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


def arrays(framework, workdir):
    """Parameters and average of the newest checkpoint of a run."""
    found = checkpoints.find(workdir)
    module = implementation(framework)
    state = module.restore_checkpoint(found.state, found.config)
    out = {}
    for kind in ("params", "ema_params"):
        exported = module.export_params(found.config, getattr(state, kind))
        out |= {f"{kind}/{name}": array for name, array in exported.items()}
    return out


def assert_same_bits(one, other):
    """Every array has the same name and the same bytes in both."""
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.tobytes() == other[name].tobytes(), name


def assert_same_state(one, other):
    """Two canonical states agree in every count and in every bit of their arrays."""
    assert [place for place, error in state_mismatches(one, other, "state") if error] == []


def assert_near(one, other, limit):
    """No entry differs by more than the limit times the largest one of its array, or 0.01."""
    assert one.keys() == other.keys()
    for name, array in one.items():
        scale = max(np.abs(other[name]).max(), 1e-2)
        assert np.abs(array - other[name]).max() / scale < limit, name
