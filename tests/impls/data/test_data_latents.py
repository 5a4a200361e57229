"""Latents: files that PyTorch wrote, read without it; the same packed into shards, bit for bit."""

import json
import os
from itertools import islice
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from refusals import refusal

from impls.common.config_files import load_config
from impls.common.draws import Stream, generator, normal
from impls.common.errors import UserError
from impls.data import DataError, Rows, batches, prepare, source
from impls.data.prepare import PrepareError, pack
from impls.files import shards
from impls.files.writing import write_whole

torch = pytest.importorskip("torch")

NUM, CHANNELS, SIZE = 23, 4, 6
IMAGES = generator(1, Stream.CHECK).standard_normal((NUM, 2 * CHANNELS, SIZE, SIZE))
IMAGES = IMAGES.astype(np.float32)
LABELS = [(7 * number) % 10 for number in range(NUM)]


def write(folder, number, **changes):
    """Write one file as the official code does; None leaves a key out."""
    held = {"image": torch.from_numpy(IMAGES[number]), "label": torch.tensor(LABELS[number])}
    held = {key: value for key, value in (held | changes).items() if value is not None}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number:08d}.pt"
    torch.save(held, path)
    return path


def write_all(root, *, flip=False):
    for number in range(NUM):
        flipped = {"image_flip": torch.from_numpy(IMAGES[number] + 1)} if flip else {}
        write(root / "train", number, **flipped)
    return root


@pytest.fixture
def root(tmp_path):
    """Latents as the official code writes them."""
    return write_all(tmp_path / "pt")


@pytest.fixture
def packed(root, tmp_path):
    """The same, packed into shards of 10."""
    pack(root, tmp_path / "packed", 10)
    return tmp_path / "packed"


def config(root, **more):
    keys = {"name": "imgnet_latent", "root": root, "num_classes": 10, "num_workers": 2}
    keys |= {"image_size": SIZE, "image_channels": CHANNELS, **more}
    dataset = {f"dataset.{key}": value for key, value in keys.items()}
    return load_config("digits", {"training.batch_size": 5, **dataset})


def message_of(settings):
    """What is said of data that cannot be opened."""
    return refusal(DataError, source, settings)


# Latents


@pytest.mark.parametrize("place", ["train", "."])
@pytest.mark.parametrize("name", ["imgnet_latent", "my_Latents"])
def test_a_latent_is_drawn_from_its_mean_and_deviation(tmp_path, place, name):
    for number in reversed(range(NUM)):
        write(tmp_path / place, number)
    examples = source(config(tmp_path, name=name))
    assert (len(examples), examples.shape) == (NUM, (SIZE, SIZE, CHANNELS))
    images, labels = examples.batch(np.array([22, 3]), Rows(9, 5, 30, 2))
    for image, number, row in zip(images, (22, 3), (30, 31), strict=True):
        mean, std = IMAGES[number, :CHANNELS], IMAGES[number, CHANNELS:]
        noise = normal((SIZE, SIZE, CHANNELS), 9, Stream.LATENT, 5, row).transpose(2, 0, 1)
        expected = (mean.astype(float) + std.astype(float) * noise) * 0.18215
        np.testing.assert_allclose(image.transpose(2, 0, 1), expected, rtol=1e-6, atol=1e-6)
    mean = IMAGES[4, :CHANNELS].transpose(1, 2, 0) * 0.18215
    np.testing.assert_allclose(examples[4][0], mean, rtol=1e-6, atol=1e-7)
    assert labels.tolist() == [LABELS[22], LABELS[3]]
    assert (images.dtype, labels.dtype) == (np.float32, np.int32)


def test_labels_may_be_numbers_or_tensors_of_any_integers(tmp_path):
    kinds = [3, torch.tensor(3), torch.tensor([3], dtype=torch.int32), torch.tensor(3).byte()]
    for number, label in enumerate(kinds):
        write(tmp_path, number, label=label)
    assert source(config(tmp_path)).batch(np.arange(4), None).labels.tolist() == [3] * 4


@pytest.mark.parametrize("is_packed", [False, True])
def test_latents_are_mirrored_where_mirrored_images_were_encoded(tmp_path, is_packed):
    root = write_all(tmp_path / "pt", flip=True)
    if is_packed:
        pack(root, tmp_path / "packed", 10)
        root = tmp_path / "packed"
    rows, indices = Rows(1, 0, 0, NUM), np.arange(NUM)
    without = IMAGES.transpose(0, 2, 3, 1)
    for flip in (True, False):
        chosen = rows.mirrored()[:, None, None, None] & flip
        mean, std = np.split(np.where(chosen, without + 1, without), 2, axis=-1)
        expected = (mean + std * rows.noise((SIZE, SIZE, CHANNELS))) * 0.18215
        images, _ = source(config(root, flip=flip)).batch(indices, rows)
        np.testing.assert_allclose(images, expected, rtol=1e-6, atol=1e-6)
    assert 0 < rows.mirrored().sum() < NUM


def test_official_latents_are_never_mirrored(root):
    rows, indices = Rows(1, 0, 0, NUM), np.arange(NUM)
    made = [source(config(root, flip=flip)).batch(indices, rows).images for flip in (True, False)]
    assert made[0].tobytes() == made[1].tobytes()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": None}, "KeyError: 'image'"),
        ({"label": None}, "KeyError: 'label'"),
        ({"image": torch.ones(7, 6, 6)}, "'image' is (7, 6, 6), not [2C, H, W]"),
        ({"image": torch.ones(6, 6)}, "'image' is (6, 6), not [2C, H, W]"),
        ({"image": torch.ones(8, 6, 6).double()}, "'image' is float64, not float32"),
        ({"image": torch.ones(8, 6, 6).int()}, "'image' is int32, not float32"),
        ({"image": 3}, "AttributeError"),
        ({"label": torch.ones(3)}, "'label' is not a whole number"),
        ({"label": -1}, "'label' is not a whole number"),
        ({"label": "cat"}, "'label' is not a whole number"),
        ({"label": 2**40}, "'label' is not a whole number"),
    ],
)
def test_a_file_that_holds_no_latent_is_one_sentence(tmp_path, changes, says):
    path = write(tmp_path, 0, **changes)
    message = message_of(config(tmp_path))
    assert message.startswith(f"{path} cannot be read (")
    assert says in message
    assert message.endswith("write it again, with 'image' [2C, H, W] (mean, then std) and 'label'")


def test_missing_latents_and_others_are_one_sentence(tmp_path, root, packed):
    assert message_of(config(tmp_path / "no")).startswith("dataset.root is ")
    assert message_of(config(tmp_path)).startswith(f"there are no .pt files in {tmp_path}: give")
    torch.save([1, 2], tmp_path / "0.pt")
    assert "'image' [2C, H, W]" in message_of(config(tmp_path))
    for other in (config(root, image_size=8), config(packed, image_channels=8)):
        said = message_of(other)
        assert said.startswith("the images of imgnet_latent are (6, 6, 4), but dataset.image_size")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": None}, "cannot be read (KeyError: 'image')"),
        ({"image": torch.ones(8, 7, 6)}, "holds other arrays than 00000000.pt"),
        ({"label": 10}, "is 10, expected 0 .. 9"),
    ],
)
def test_a_later_file_that_is_unlike_the_first_is_named(root, changes, says):
    examples = source(config(root))
    path = write(root / "train", NUM - 1, **changes)
    message = refusal(DataError, examples.batch, np.arange(NUM), None)
    assert str(path) in message
    assert says in message


# Packing


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("shard_size", [1, 10, 23, 8192])
def test_packed_latents_give_the_same_bits(tmp_path, root, shard_size):
    pack(root, tmp_path / "packed", shard_size)
    made = []
    for folder in (root, tmp_path / "packed"):
        settings = config(folder)
        made.append(list(islice(batches(settings, source(settings), start=2), 9)))
    for one, other in zip(*made, strict=True):
        assert one.images.tobytes() == other.images.tobytes()
        assert one.labels.tolist() == other.labels.tolist()
    assert len(list((tmp_path / "packed").glob("images-*.npy"))) == -(-NUM // shard_size)


def test_shards_are_plain_arrays_of_what_the_files_hold(tmp_path, root):
    layout = pack(root, tmp_path / "packed", 20)
    assert layout == ((SIZE, SIZE, 2 * CHANNELS), "float32", False, (20, 3))
    names = [f"{kind}-0000{number}.npy" for kind in ("images", "labels") for number in range(2)]
    assert set(contents(tmp_path / "packed")) == {*names, "index.json", "packing.json"}
    arrays = [np.load(tmp_path / "packed" / name) for name in names]
    np.testing.assert_array_equal(np.concatenate(arrays[:2]), IMAGES.transpose(0, 2, 3, 1))
    assert np.concatenate(arrays[2:]).tolist() == LABELS


def test_packing_in_half_rounds_and_packing_half_does_not(tmp_path, root):
    pack(root, tmp_path / "a", half=True)
    for number in range(NUM):
        image = torch.from_numpy(IMAGES[number]).half()
        write(tmp_path / "half", number, image=image)
    pack(tmp_path / "half", tmp_path / "b")
    expected = IMAGES.transpose(0, 2, 3, 1).astype(np.float16)
    for name in "ab":
        stored = np.load(tmp_path / name / "images-00000.npy")
        assert stored.dtype == np.float16
        np.testing.assert_array_equal(stored, expected)
    made = [
        source(config(tmp_path / name)).batch(np.arange(NUM), Rows(0, 0, 0, NUM)).images
        for name in ("a", "b", "half")
    ]
    assert made[0].tobytes() == made[1].tobytes() == made[2].tobytes()


def test_a_packing_that_was_stopped_goes_on_where_it_was_and_then_changes_nothing(
    tmp_path, monkeypatch
):
    root = write_all(tmp_path / "pt", flip=True)
    pack(root, tmp_path / "whole", 5)
    write_array = shards.write_array

    def stopped(path, *arrays):
        if path.name == "image_flip-00002.npy":
            (path.parent / ".partial-1-image_flip-00002.npy").write_text("half")
            raise KeyboardInterrupt
        write_array(path, *arrays)

    with monkeypatch.context() as patch:
        patch.setattr(shards, "write_array", stopped)
        with pytest.raises(KeyboardInterrupt):
            pack(root, tmp_path / "stopped", 5)
    message = message_of(config(tmp_path / "stopped"))
    assert message.endswith("is incomplete: run the same meanflow prepare again")
    read = mock.Mock(side_effect=prepare.read_latent)
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "read_latent", read)
        pack(root, tmp_path / "stopped", 5)
    numbers = sorted(int(call.args[0].stem) for call in read.call_args_list)
    assert numbers == [0, *range(10, NUM)]  # the first file tells the shape
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    assert pack(root, tmp_path / "stopped", 5).counts == (5, 5, 5, 5, 3)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_a_file_of_a_packing_appears_when_it_is_whole(tmp_path, monkeypatch):
    written = []

    def killed(path, _):
        written.append(path.read_bytes())
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "x", b"one", memoryview(b"two"))
    assert written == [b"onetwo"]
    assert list(tmp_path.iterdir()) == []


def refused(folder, output, *size, **options):
    return refusal(UserError, pack, folder, output, *size, **options)


def test_another_packing_in_the_same_folder_is_refused(root, packed):
    assert "holds shards of other files, or with other options" in refused(root, packed, 11)
    assert "with other options" in refused(root, packed, 10, half=True)
    (root / "train" / "00000003.pt").unlink()
    assert "holds shards of other files" in refused(root, packed, 10)
    (packed / "packing.json").unlink()
    (packed / "index.json").unlink()
    assert "holds shards of other files" in refused(root, packed, 10)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": torch.ones(8, 6, 7)}, "is float32 (6, 7, 8), expected float32 (6, 6, 8)"),
        ({"image": torch.ones(8, 6, 6).half()}, "is float16 (6, 6, 8), expected float32 (6, 6, 8)"),
        ({"image_flip": torch.ones(8, 6, 6)}, "'image_flip' in"),
        ({"image": None}, "cannot be read (KeyError: 'image')"),
    ],
)
def test_a_file_unlike_the_first_stops_the_packing(tmp_path, root, changes, says):
    path = write(root / "train", 13, **changes)
    message = refused(root, tmp_path / "packed", 10)
    assert str(path) in message
    assert says in message
    write(root / "train", 13)
    pack(root, tmp_path / "packed", 10)
    assert len(source(config(tmp_path / "packed"))) == NUM


def test_what_cannot_be_packed_is_one_sentence(tmp_path, root, monkeypatch):
    assert "No such file or directory" in refused(tmp_path / "no", tmp_path / "out")
    assert "there are no .pt files in" in refused(tmp_path, tmp_path / "out")
    assert "the shard size is 0, expected" in refused(root, tmp_path / "out", 0)
    (tmp_path / "file").write_text("")
    assert "cannot write to" in refusal(PrepareError, pack, root, tmp_path / "file")
    assert "(Not a directory)" not in refused(root, tmp_path / "file" / "below")

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        expected = f"cannot write to {tmp_path / 'out'}: No space left on device"
        assert refused(root, tmp_path / "out") == expected
    assert contents(tmp_path / "out") == {}


# Damaged shards


@pytest.mark.parametrize("name", ["images-00001.npy", "labels-00002.npy"])
@pytest.mark.parametrize("end", [-1, 40, 0, None])
def test_a_damaged_shard_is_one_sentence(packed, name, end):
    path = packed / name
    if end is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:end])
    message = message_of(config(packed))
    assert message.startswith(f"{path} cannot be read (")
    assert message.endswith("write it again with meanflow prepare")


def test_a_shard_of_another_kind_than_the_index_says_is_refused(packed):
    path = packed / "images-00001.npy"
    np.save(path, np.zeros((10, 6, 6, 8), np.float64))
    assert "it holds float64 (10, 6, 6, 8), unlike index.json" in message_of(config(packed))
    np.save(path, np.array([{}], dtype=object))
    assert str(path) in message_of(config(packed))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": 2}, "has version 2: use a later release"),
        ({"format": "other"}, "has version"),
        ({"counts": []}, "index.json cannot be read ("),
        ({"counts": [10, 10, 3, 1]}, "images-00003.npy cannot be read (No such file"),
        ({"counts": None}, "index.json cannot be read ("),
        ({"shape": [6, 6]}, "its values contradict each other"),
        ({"dtype": "object"}, "its values contradict each other"),
        ({"flip": True}, "image_flip-00000.npy cannot be read (No such file"),
        *((content, "index.json cannot be read (") for content in (b"", b"[1]", b"{}", b"{" * 99)),
        (b"\xff\xfe", "index.json cannot be read ("),
    ],
)
def test_a_damaged_index_is_one_sentence(packed, changes, says):
    path = packed / "index.json"
    if isinstance(changes, dict):
        changes = json.dumps(json.loads(path.read_text()) | changes).encode()
    path.write_bytes(changes)
    assert says in message_of(config(packed))


def test_fewer_shards_are_a_smaller_data_set(packed):
    path = packed / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"counts": [10, 10]}))
    assert len(source(config(packed))) == 20


def test_a_label_that_is_no_class_is_found_when_shards_are_opened(packed):
    number = next(i for i, label in enumerate(LABELS) if label >= 7)
    assert message_of(config(packed, num_classes=7)) == (
        f"label {number} in {packed} is {LABELS[number]}, expected 0 .. 6"
        " (dataset.num_classes is 7)"
    )
