"""Checkpoints of an earlier commit are restored bit for bit, and training goes on with them."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
from small_runs import assert_same_state, state_of

from impls.files import checkpoints
from impls.frameworks import implementation
from impls.interop.convert import canonical_state
from impls.trainer.train import train

FOLDER = Path(__file__).parents[2] / "checkpoints"
# SHA-256 of every field of the state, as the commit that wrote the checkpoint read it.
STATES = {
    "jax": "349aac6c749a8c62ed6f2c9ed284fa2c217bafcc8837cfae36632ad5cb7c4317",
    "torch": "0a6d46cee6475a42a843fbc1da8f8eb3cae58ad460b1fabdd15ab1cb23d93ef6",
}


def digest(state):
    """SHA-256 of every number, with its place, type and shape."""
    found = hashlib.sha256()

    def add(place, content):
        if isinstance(content, dict):
            for name in sorted(content):
                add(f"{place}/{name}", content[name])
        elif isinstance(content, tuple):
            for index, one in enumerate(content):
                add(f"{place}/{index}", one)
        else:
            array = np.asarray(content)
            found.update(f"{place} {array.dtype} {array.shape} ".encode() + array.tobytes())

    for field, content in state._asdict().items():
        add(field, content)
    return found.hexdigest()


def test_every_bit_of_an_old_checkpoint_is_restored(framework):
    assert digest(canonical_state(checkpoints.find(FOLDER / framework))) == STATES[framework]


def test_a_run_goes_on_from_an_old_checkpoint(framework, tmp_path):
    found = checkpoints.find(FOLDER / framework)
    for folder in ("one", "other"):
        shutil.copytree(found.path, tmp_path / folder / "checkpoints" / str(found.step))
        training = found.config.training.model_copy(update={"num_steps": 6})
        config = found.config.model_copy(update={"training": training})
        ending = train(implementation(framework), framework, config, tmp_path / folder)
        assert ending.checkpoint.step == 6
    assert_same_state(state_of(tmp_path / "one"), state_of(tmp_path / "other"))
