"""A file with anything wrong in it either reads, or is refused in one sentence that names it."""

import functools
import gc
import json
import shutil

import pytest
from golden_folders import FOLDERS, copy_of
from hypothesis import given, settings
from hypothesis import strategies as st
from results_records import record
from small_runs import state_of, trained

from impls.common.errors import UserError
from results.reading import parse
from results.schema import line
from verify.golden import load_golden, load_trainings

# What is done to a file: bytes cut out at a place between its ends, and others put there.
DAMAGE = st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=40))


def damaged(content, damage):
    place, length, other = damage
    start = int(place * len(content))
    return content[:start] + other + content[start + length :]


def refused_or_read(read, name):
    """Whether it is read; what refuses it says the name, in one line."""
    try:
        read()
    except UserError as error:
        said = str(error)
    else:
        return True
    assert "\n" not in said
    assert name in said
    return False


def assert_refused_or_the_same(content):
    """A line in the place of a record."""
    if refused_or_read(lambda: parse(content, "a.jsonl, line 1"), "a.jsonl, line 1"):
        assert json.loads(content) == json.loads(line(record()))


@given(DAMAGE)
def test_a_damaged_record_is_refused_or_says_what_it_said(damage):
    assert_refused_or_the_same(damaged(line(record()).encode(), damage))


# Of any JSON object, not only of what was once a record.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=9), some),
    max_leaves=6,
)


@given(st.sampled_from(sorted(json.loads(line(record())))), JSON)
def test_a_record_with_any_field_changed_is_refused_or_says_what_it_said(field, value):
    assert_refused_or_the_same(json.dumps(json.loads(line(record())) | {field: value}).encode())


GOLDEN = sorted(path.name for path in (FOLDERS / "patch_4").iterdir())


@settings(max_examples=20)
@given(st.sampled_from(GOLDEN), DAMAGE)
def test_a_damaged_golden_folder_is_read_or_refused(tmp_path_factory, name, damage):
    folder = copy_of("patch_4", tmp_path_factory.mktemp("golden"))
    file = folder / name
    file.write_bytes(damaged(file.read_bytes(), damage))
    refused_or_read(lambda: (load_golden(folder), load_trainings(folder)), str(folder))
    shutil.rmtree(folder)


@functools.cache
def checkpoint(framework, folder):
    """A checkpoint of one step."""
    return trained(
        framework, folder / f"damaged-{framework}", training__num_steps=1
    ).checkpoint.path


# Orbax abandons the arrays that it has not read when one before them is damaged.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@settings(max_examples=20)
@given(st.floats(0, 1, exclude_max=True), DAMAGE)
@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_a_damaged_checkpoint_is_read_or_refused(tmp_path_factory, framework, which, damage):
    pytest.importorskip(framework)
    intact = checkpoint(framework, tmp_path_factory.getbasetemp())
    copy = intact.with_name("damaged")
    shutil.copytree(intact, copy)
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    file = files[int(which * len(files))]
    file.write_bytes(damaged(file.read_bytes(), damage))
    refused_or_read(lambda: state_of(copy), str(copy))
    shutil.rmtree(copy)
    if framework == "jax":
        gc.collect()  # so that what was abandoned is said here, and in no other test
