"""A file with anything wrong in it either reads, or is refused in one sentence that names it."""

import functools
import gc
import json
import re
import shutil
from functools import partial

import pytest
from damage import DAMAGE, JSON, damaged, refused_or_read
from hypothesis import given, settings
from hypothesis import strategies as st
from results_records import record
from small_runs import assert_same_state, state_of, trained

from impls.files import checkpoints
from impls.files.reading import readable
from impls.interop.convert import canonical_state
from results.reading import parse
from results.schema import line


def assert_refused_or_the_same(content):
    """A line in the place of a record."""
    if refused_or_read(lambda: parse(content, "a.jsonl, line 1"), "a.jsonl, line 1"):
        assert json.loads(content) == json.loads(line(record()))


@given(DAMAGE)
def test_a_damaged_record_is_refused_or_says_what_it_said(damage):
    assert_refused_or_the_same(damaged(line(record()).encode(), damage))


@given(st.sampled_from(sorted(json.loads(line(record())))), JSON)
def test_a_record_with_any_field_changed_is_refused_or_says_what_it_said(field, value):
    assert_refused_or_the_same(json.dumps(json.loads(line(record())) | {field: value}).encode())


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


# Orbax abandons the arrays that it has not read when one before them is damaged.
abandons = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@abandons
@pytest.mark.fuzz(10)  # Orbax reads a checkpoint in most of a second
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
    if framework == "jax":
        gc.collect()  # so that what was abandoned is said here, and in no other test


def test_an_error_that_is_the_fault_of_no_file_is_not_taken_for_damage():
    for kind in (AssertionError, NameError, ImportError):
        with pytest.raises(kind, match="ours"), readable("x", "get it anew"):
            raise kind("ours")


@abandons
@pytest.mark.fuzz(10)
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
