"""A golden folder with any damage is refused in one line, or reads exactly as before."""

import json
import shutil

import numpy as np
from damage import DAMAGE, array_edits, damaged, edits, refused_or_read
from golden_folders import FOLDERS, TRAINED, arrays_of, copy_of
from hypothesis import given, settings
from hypothesis import strategies as st

from verify.golden import load_golden, load_trainings

INTACT = FOLDERS / "patch_4"
LISTINGS = ("cases.json", f"{TRAINED}.json")
ARRAYS = {path.name: arrays_of(path) for path in sorted(INTACT.glob("*.npz"))}
few = settings(max_examples=20)


def read(folder):
    """Every number of a folder, by case or run and name."""
    found = {}
    for case in load_golden(folder):
        found |= {(case.name, name): array for name, array in case.arrays.items()}
        found |= {(case.name, "params", name): array for name, array in case.params.items()}
        found |= {(case.name, "y"): case.batch.labels}
    for run in load_trainings(folder):
        found[run.name, "losses"] = run.losses
        for kind, arrays in run.final.items():
            found |= {(run.name, kind, name): array for name, array in arrays.items()}
    return found


NUMBERS = read(INTACT)


def assert_refused_or_the_same(folder, *, listing=False):
    """Of damaged arrays; of a listing, which has no checksum, that nothing but a refusal comes."""
    found = {}
    if refused_or_read(lambda: found.update(read(folder)), str(folder)) and not listing:
        for name, array in found.items():  # optional ones may be gone, which the report says
            np.testing.assert_array_equal(array, NUMBERS[name])
    shutil.rmtree(folder)


@few
@given(st.sampled_from(sorted(path.name for path in INTACT.iterdir())), DAMAGE)
def test_a_damaged_file_is_refused_or_says_what_it_said(tmp_path_factory, name, damage):
    folder = copy_of("patch_4", tmp_path_factory.mktemp("golden"))
    file = folder / name
    file.write_bytes(damaged(file.read_bytes(), damage))
    assert_refused_or_the_same(folder, listing=name in LISTINGS)


@st.composite
def listings(draw):
    name = draw(st.sampled_from(LISTINGS))
    return name, draw(edits(json.loads((INTACT / name).read_text())))


@few
@given(listings())
def test_a_listing_with_any_value_changed_is_read_or_refused(tmp_path_factory, given):
    name, content = given
    folder = copy_of("patch_4", tmp_path_factory.mktemp("golden"))
    (folder / name).write_text(json.dumps(content))
    assert_refused_or_the_same(folder, listing=True)


@few
@given(st.sampled_from(LISTINGS), st.sampled_from(["[", '{"a":']), st.integers(1, 10**5))
def test_a_listing_nested_however_deep_is_refused(tmp_path_factory, name, opening, depth):
    folder = copy_of("patch_4", tmp_path_factory.mktemp("golden"))
    (folder / name).write_text(opening * depth)
    assert not refused_or_read(lambda: read(folder), str(folder / name))
    shutil.rmtree(folder)


@st.composite
def changed_arrays(draw):
    file = draw(st.sampled_from(sorted(ARRAYS)))
    name = draw(st.sampled_from(sorted(ARRAYS[file])))
    return file, name, draw(array_edits(ARRAYS[file][name]))


@few
@given(changed_arrays())
def test_a_folder_with_any_array_changed_is_read_or_refused(tmp_path_factory, given):
    file, name, array = given
    folder = copy_of("patch_4", tmp_path_factory.mktemp("golden"))
    np.savez(folder / file, **{**ARRAYS[file], name: array})
    found = {}
    if refused_or_read(lambda: found.update(read(folder)), str(folder)):
        assert all(np.isfinite(a).all() for a in found.values() if a.dtype.kind == "f")
    shutil.rmtree(folder)
