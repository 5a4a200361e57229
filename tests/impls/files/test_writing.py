"""Files are written whole or not at all: a full disk leaves what was there, and nothing else."""

import os
import stat

import numpy as np
import pytest
from refusals import refusal
from results_records import record
from subprocesses import ROOT

from impls.common.errors import UserError
from impls.common.types import Batch
from impls.files import checkpoints
from impls.files.writing import PARTIAL, whole, write_arrays, write_whole
from impls.interop.convert import write_safetensors
from impls.trainer.generate import write_samples
from meanflow_repro.options import check_writable
from results import schema

SAMPLES = Batch(np.zeros((3, 2, 2, 1), np.float32), np.arange(3, dtype=np.int32))


@pytest.fixture
def full(monkeypatch):
    """A disk that finds out that it is full when a file is to be on it."""

    def refuse(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)


def samples(path):
    write_samples(SAMPLES, path.parent, single=True)


def safetensors(path):
    write_safetensors(checkpoints.find(ROOT / "tests" / "checkpoints" / "torch"), "ema", path)


WRITERS = {
    "samples.npz": samples,
    "weights.safetensors": safetensors,
    "statistics.npz": lambda path: write_arrays(path, {"mu": np.zeros(3)}),
    "records.jsonl": lambda path: schema.append([record()], path),
}


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_sentence_and_leaves_the_folder_as_it_was(name, there, tmp_path, full):
    if name.startswith("weights"):
        pytest.importorskip("torch")
    before = {}
    if there:
        (tmp_path / name).write_bytes(b"what was there\n")
        before = {name: b"what was there\n"}
    message = refusal(UserError, WRITERS[name], tmp_path / name)
    assert message.startswith("cannot write to ")
    assert "No space left on device" in message
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_file_has_the_mode_that_the_umask_gives(mask, mode, tmp_path):
    pytest.importorskip("torch")
    before = os.umask(mask)
    try:
        safetensors(tmp_path / "weights")
        write_whole(tmp_path / "plain", b"plain")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"weights": mode, "plain": mode}


def test_what_fails_while_it_is_written_leaves_nothing(tmp_path):
    def write():
        with whole(tmp_path / "file") as partial:
            partial.write_bytes(b"half")
            assert partial.name.startswith(PARTIAL)
            raise UserError("interrupted")

    refusal(UserError, write)
    assert list(tmp_path.iterdir()) == []


def test_a_record_is_not_lost_in_a_file_that_another_process_removed(tmp_path, monkeypatch):
    path, lock = tmp_path / "records.jsonl", schema._lock

    def removed_meanwhile(file):
        monkeypatch.setattr(schema, "_lock", lock)
        path.unlink()
        lock(file)

    monkeypatch.setattr(schema, "_lock", removed_meanwhile)
    schema.append([record()], path)
    assert path.read_text() == schema.line(record()) + "\n"


def test_whether_a_file_can_be_written_is_found_out_without_making_it(tmp_path):
    (tmp_path / "old").write_bytes(b"old")
    check_writable(tmp_path / "new", tmp_path / "folder")
    check_writable(tmp_path / "old", None)
    assert {path.name for path in tmp_path.iterdir()} == {"old", "folder"}
    assert (tmp_path / "old").read_bytes() == b"old"
    message = refusal(UserError, check_writable, tmp_path / "no" / "file", None)
    assert message.startswith(f"cannot write to {tmp_path / 'no' / 'file'}: No such file")
