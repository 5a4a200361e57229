"""What torch.save wrote is read without PyTorch, bit for bit, and can run nothing."""

import os
import zipfile
from pathlib import Path

import pytest
from refusals import refusal

from impls.data import DataError
from impls.files import torch_files

torch = pytest.importorskip("torch")


def saved(tmp_path, value, **options):
    torch.save(value, tmp_path / "x.pt", **options)
    return tmp_path / "x.pt"


NEW, OLD = {}, {"_use_new_zipfile_serialization": False}
DTYPES = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool"


@pytest.mark.parametrize("options", [NEW, OLD], ids=["zip", "before zip"])
@pytest.mark.parametrize("name", DTYPES.split())
def test_tensors_and_views_of_every_dtype_are_read_bit_for_bit(tmp_path, name, options):
    whole = (torch.arange(24).reshape(2, 3, 4) / 7).to(getattr(torch, name))
    tensors = [
        whole, whole[1], whole[:, 1:3], whole.transpose(0, 2)[:, 1:], whole[..., ::2],
        whole.expand(5, 2, 3, 4), whole[1, 2, 3],
    ]  # fmt: skip
    path = saved(tmp_path, {"a": tensors, "b": [3, "text", None, 0.5]}, **options)
    assert zipfile.is_zipfile(path) == (options is NEW)
    found = torch_files.load(path)
    assert found["b"] == [3, "text", None, 0.5]
    for array, tensor in zip(found["a"], tensors, strict=True):
        # NumPy has no bfloat16: the float32 of the same value.
        expected = (tensor.float() if name == "bfloat16" else tensor).numpy()
        assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
        assert array.tobytes() == expected.tobytes()


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
        ({"image": Harmful()}, NEW, no_damage, "it names posix.mkdir, which is not data"),
        ({"image": Harmful()}, OLD, no_damage, "it names posix.mkdir, which is not data"),
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
