"""The golden folders of tests/golden, and copies of them with something changed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from verify.golden import GoldenError, load_golden, load_trainings

FOLDERS = Path(__file__).parent / "golden"
NAMES = ("patch_2", "patch_4", "patch_8")
TRAINED = "train_2_steps"  # in patch_4


def arrays_of(path):
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def rewrite(path, **changes):
    """Replace or add arrays of an .npz file; None removes one."""
    kept = {name: array for name, array in (arrays_of(path) | changes).items() if array is not None}
    np.savez(path, **kept)


def copy_of(folder, target, case=""):
    """A copy of a folder, with all its cases or a single one."""
    copy = target / folder
    shutil.copytree(FOLDERS / folder, copy)
    if case:
        listing = copy / "cases.json"
        cases = json.loads(listing.read_text())
        listing.write_text(json.dumps({case: cases[case]}))
    return copy


def refusal(folder):
    """The line with which a folder is refused."""
    with pytest.raises(GoldenError) as caught:  # noqa: PT012  either may refuse it
        load_golden(folder)
        load_trainings(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) > 20
    return message


def refusal_of(target, file, **changes):
    """The line with which patch_4 is refused with a changed file, which it names."""
    folder = copy_of("patch_4", target)
    rewrite(folder / file, **changes)
    message = refusal(folder)
    assert file in message
    return message
