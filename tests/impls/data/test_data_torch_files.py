"""What torch.save wrote is read without PyTorch, bit for bit, and can run nothing."""

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refusals import refusal

from impls.common.draws import Stream, generator
from impls.data import DataError
from impls.files import torch_files

torch: Any = pytest.importorskip("torch")

IMAGE = generator(1, Stream.CHECK).standard_normal((8, 6, 6)).astype(np.float32)


def saved(tmp_path, value, **options):
    torch.save(value, tmp_path / "x.pt", **options)
    return tmp_path / "x.pt"


@pytest.mark.parametrize(
    "name",
    ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"],
)
def test_tensors_of_every_dtype_are_read_bit_for_bit(tmp_path, name):
    tensor = (torch.arange(24).reshape(2, 3, 4) / 7).to(getattr(torch, name))
    array = torch_files.load(saved(tmp_path, {"a": [tensor, 3, "text", None, 0.5]}))["a"][0]
    assert array.dtype == name
    assert array.shape == (2, 3, 4)
    assert array.tobytes() == tensor.numpy().tobytes()


def test_bfloat16_is_read_as_the_float32_it_stands_for(tmp_path):
    tensor = torch.from_numpy(IMAGE).to(torch.bfloat16)
    array = torch_files.load(saved(tmp_path, tensor.transpose(0, 2)[:, 1:]))
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, tensor.float().numpy().transpose(2, 1, 0)[:, 1:])


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[1],
        lambda x: x[:, 1:3],
        lambda x: x.transpose(0, 2),
        lambda x: x[..., ::2],
        lambda x: x.expand(5, *x.shape),
        lambda x: x[1, 2, 3],
    ],
)
def test_views_are_read_as_what_they_show(tmp_path, view):
    tensor = view(torch.from_numpy(IMAGE))
    np.testing.assert_array_equal(torch_files.load(saved(tmp_path, tensor)), tensor.numpy())


def test_tensors_that_share_their_storage_are_both_read(tmp_path):
    tensor = torch.from_numpy(IMAGE)
    both = torch_files.load(saved(tmp_path, (tensor, tensor[2:4])))
    np.testing.assert_array_equal(both[0][2:4], both[1])


@pytest.mark.parametrize("name", ["float64", "float32", "bfloat16", "int64", "uint8", "bool"])
def test_files_of_before_the_zip_format_are_read_as_well(tmp_path, name):
    whole = (torch.arange(24).reshape(2, 3, 4) / 7).to(getattr(torch, name))
    value = {"a": [whole, whole.transpose(0, 2)[1:]], "b": torch.from_numpy(IMAGE), "c": 0.5}
    expected = torch_files.load(saved(tmp_path, value))
    found = torch_files.load(saved(tmp_path, value, _use_new_zipfile_serialization=False))
    assert (tmp_path / "x.pt").read_bytes()[:2] != b"PK"
    assert found["c"] == 0.5
    for one, other in zip([*found["a"], found["b"]], [*expected["a"], expected["b"]], strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert found["b"].tobytes() == IMAGE.tobytes()


def rewritten(path, name, content, **options):
    """Write the same archive with other content in one of its files."""
    with zipfile.ZipFile(path) as archive:
        held = {member: archive.read(member) for member in archive.namelist()}
    [key] = [member for member in held if member.endswith(name)]
    held[key] = content
    with zipfile.ZipFile(path, "w", **options) as archive:
        for member, value in held.items():
            archive.writestr(member, value)


def pickle_of(path):
    with zipfile.ZipFile(path) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        return archive.read(name)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


ONES = torch.ones(200)
NEW, OLD = {}, {"_use_new_zipfile_serialization": False}


def flipped_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def outside_its_storage(path):
    rewritten(path, "/data.pkl", pickle_of(path).replace(b"K\xc8\x85", b"K\xff\x85"))


def compressed(path):
    rewritten(path, "/data/0", ONES.numpy().tobytes(), compression=zipfile.ZIP_DEFLATED)


def another_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/b.txt", "text")


def cut(end):
    return lambda path: path.write_bytes(path.read_bytes()[:end])


def no_damage(_):
    pass


@pytest.mark.parametrize(
    ("value", "options", "damage", "says"),
    [
        ({"image": Harmful()}, NEW, no_damage, "it names posix.mkdir, which is no data"),
        ({"image": Harmful()}, OLD, no_damage, "it names posix.mkdir, which is no data"),
        (torch.nn.Linear(2, 2), NEW, no_damage, "it names torch.nn.modules.linear.Linear, which"),
        (ONES, NEW, lambda path: path.write_bytes(b"no tensors"), "not the zip format that torch"),
        (ONES, NEW, lambda path: path.write_bytes(b""), "nor that of old releases"),
        (ONES, NEW, Path.unlink, "No such file or directory"),
        (ONES, NEW, another_zip, "a zip file, but without data.pkl"),
        (ONES, NEW, cut(-200), "BadZipFile"),
        (ONES, OLD, cut(-200), "cannot be read (ValueError: strides is incompatible"),
        (ONES, OLD, cut(150), "cannot be read ("),
        (torch.ones(3000), NEW, flipped_bit, "Bad CRC-32"),
        (ONES, NEW, lambda path: rewritten(path, "/data/0", bytes(8)), "strides is incompatible"),
        (ONES, NEW, outside_its_storage, "cannot be read (ValueError: strides is incompatible"),
        (ONES, NEW, compressed, "is compressed"),
        (ONES, NEW, lambda path: rewritten(path, "/byteorder", b"big"), "numbers are big-endian"),
    ],
)
def test_a_file_that_is_no_plain_tensors_is_one_sentence_and_runs_nothing(
    tmp_path, monkeypatch,
    value, options, damage, says,
):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path, value, **options)
    damage(path)
    message = refusal(DataError, torch_files.load, path)
    assert message.startswith(f"{path} cannot be read (")
    assert says in message
    assert message.endswith(": write it again with torch.save, tensors only")
    assert not (tmp_path / "harm").exists()
