"""A file with anything wrong in it either reads, or is refused in one sentence that names it."""

import functools
import gc
import json
import re
import shutil
from functools import partial

import pytest
from golden_folders import FOLDERS, copy_of
from hypothesis import given, settings
from hypothesis import strategies as st
from results_records import record
from small_runs import assert_same_state, state_of, trained

from impls.common.errors import UserError
from impls.files import checkpoints
from impls.interop.convert import canonical_state
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
    """A checkpoint of one step, and its state."""
    path = trained(
        framework, folder / f"damaged-{framework}", training__num_steps=1
    ).checkpoint.path
    return path, state_of(path)


WHICH = st.floats(0, 1, exclude_max=True)


def a_file(folder, which):
    """One of the files of a checkpoint, by a number from 0 to 1."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return files[int(which * len(files))]


def flip(which, place, bit, folder):
    file = a_file(folder, which)
    content = bytearray(file.read_bytes())
    if content:
        content[int(place * len(content))] ^= 1 << bit
    file.write_bytes(content)


def replace(which, other, folder):
    """Bytes of a file by others, or none by some, or some by none."""
    file = a_file(folder, which)
    file.write_bytes(damaged(file.read_bytes(), other))


def cut(which, share, folder):
    file = a_file(folder, which)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])


def swap(which, other, folder):
    one, other = a_file(folder, which), a_file(folder, other)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def delete(which, folder):
    a_file(folder, which).unlink()


def add(which, content, folder):
    file = a_file(folder, which)
    file.with_name(f"{file.name}0").write_bytes(content)


def say(key, value, folder):
    """Something else in about.json."""
    file = folder / "about.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))


def configure(key, value, folder):
    """Something else in config.yml."""
    file = folder / "config.yml"
    file.write_text(re.sub(rf"{key}: [\d.]+", f"{key}: {value}", file.read_text()))


DONE = st.one_of(
    st.tuples(st.just(flip), WHICH, WHICH, st.integers(0, 7)),
    st.tuples(st.just(replace), WHICH, DAMAGE),
    st.tuples(st.just(cut), WHICH, WHICH),
    st.tuples(st.just(swap), WHICH, WHICH),
    st.tuples(st.just(delete), WHICH),
    st.tuples(st.just(add), WHICH, st.binary(max_size=40)),
    st.tuples(st.just(say), st.sampled_from(["format", "framework", "step", "sha256"]), JSON),
    st.tuples(st.just(configure), st.sampled_from(["depth", "hidden_size"]), st.integers(1, 32)),
)


@settings(max_examples=40)
@given(DONE)
@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_a_damaged_checkpoint_is_refused_or_read_as_the_same_numbers(
    tmp_path_factory, framework, done
):
    pytest.importorskip(framework)
    intact, expected = checkpoint(framework, tmp_path_factory.getbasetemp())
    copy, states = copied(intact), []
    damage, *how = done
    damage(*how, copy)
    if refused_or_read(lambda: states.append(state_of(copy)), str(copy)):
        assert_same_state(states[0], expected)


# Orbax abandons the arrays that it has not read when one before them is damaged.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@settings(max_examples=10)
@given(WHICH, DAMAGE)
@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_a_damaged_checkpoint_whose_checksum_is_not_compared_is_refused_or_read(
    tmp_path_factory, framework, which, other
):
    pytest.importorskip(framework)
    copy = copied(checkpoint(framework, tmp_path_factory.getbasetemp())[0])
    replace(which, other, copy)
    read = partial(checkpoints.find, copy, checksum=False)
    refused_or_read(lambda: canonical_state(read()), str(copy))
    if framework == "jax":
        gc.collect()  # so that what was abandoned is said here, and in no other test


def copied(intact):
    copy = intact.with_name("damaged")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(intact, copy)
    return copy
