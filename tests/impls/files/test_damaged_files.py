"""A file with anything wrong in it either reads, or is refused in one sentence that names it."""

import functools
import gc
import json
import shutil

import pytest
from damage import DAMAGE, JSON, damaged, refused_or_read
from hypothesis import given, settings
from hypothesis import strategies as st
from results_records import record
from small_runs import state_of, trained

from impls.files.reading import readable
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
    """A checkpoint of one step."""
    return trained(
        framework, folder / f"damaged-{framework}", training__num_steps=1
    ).checkpoint.path


def test_an_error_that_is_the_fault_of_no_file_is_not_taken_for_damage():
    for kind in (AssertionError, NameError, ImportError):
        with pytest.raises(kind, match="ours"), readable("x", "get it anew"):
            raise kind("ours")


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
