"""MNIST, CIFAR-10 and folders of images, read from files as their publishers write them."""

import gzip
import io
import os
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from made_up_mnist import idx, write_made_up
from PIL import Image
from refusals import refusal

from impls.common.config_files import load_config
from impls.common.draws import Stream, generator
from impls.data import DataError, Rows, digits_split, mnist_split, source
from impls.data.folder import centre_crop

rng = generator(0, Stream.CHECK)
DIGITS = rng.integers(0, 256, (7, 28, 28), np.uint8)
DIGIT_LABELS = np.array([3, 0, 9, 9, 1, 2, 5], np.uint8)
PLANES = rng.integers(0, 256, (5, 4, 3, 32, 32), np.uint8)  # batch, image, colour, row, column
PLANE_LABELS = rng.integers(0, 10, (5, 4))


def config(name, root, size=28, channels=1, **more):
    keys = {"name": name, "root": root, "image_size": size, "image_channels": channels, **more}
    return load_config("digits", {f"dataset.{key}": value for key, value in keys.items()})


def scaled(levels):
    """The official transform: to 0 .. 1, then (x - 0.5) / 0.5, in float64."""
    return (np.asarray(levels, np.float64) / 255 - 0.5) / 0.5


def message_of(settings):
    """What is said of data that cannot be opened."""
    return refusal(DataError, source, settings)


# MNIST


def write_mnist(folder, names, pack):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(names, (DIGITS, DIGIT_LABELS), strict=True):
        (folder / name).write_bytes(pack(idx(array)))


PLAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
PACKED = (f"{PLAIN[0]}.gz", f"{PLAIN[1]}.gz")
DOTTED = ("train-images.idx3-ubyte", "train-labels.idx1-ubyte")


@pytest.mark.parametrize("place", [".", "MNIST/raw", "raw"])
@pytest.mark.parametrize("names", [PLAIN, DOTTED])
@pytest.mark.parametrize("is_packed", [False, True])
def test_mnist_is_read_wherever_it_usually_lies(tmp_path, place, names, is_packed):
    if is_packed:
        names = (f"{names[0]}.gz", f"{names[1]}.gz")
    write_mnist(tmp_path / place, names, gzip.compress if is_packed else bytes)
    images, labels = source(config("mnist", tmp_path)).batch(np.arange(7), Rows(0, 0, 0, 7))
    assert (images.dtype, labels.dtype) == (np.float32, np.int32)
    assert (images.min(), images.max()) == (-1, 1)
    np.testing.assert_allclose(images[..., 0], scaled(DIGITS), rtol=0, atol=1e-7)
    assert labels.tolist() == DIGIT_LABELS.tolist()


def test_both_parts_of_mnist_are_read(tmp_path):
    settings = config("mnist", write_made_up(tmp_path, 20, 10)).dataset
    for held_out, count in ((False, 20), (True, 10)):
        images, labels = mnist_split(settings, held_out)
        assert (images.shape, images.dtype) == ((count, 28, 28, 1), np.float32)
        assert (images.min(), images.max(), labels.dtype) == (-1, 1, np.int32)
        assert labels.tolist() == digits_split(held_out).labels[:count].tolist()


def test_missing_mnist_says_which_file_goes_where(tmp_path):
    message = message_of(config("mnist", tmp_path))
    assert message.startswith(f"there is no train-images-idx3-ubyte in {tmp_path}, plain or as .gz")
    assert "set dataset.root to the folder with train-images-idx3-ubyte" in message
    message = message_of(config("mnist", "DATA_ROOT"))
    assert message.startswith("dataset.root is DATA_ROOT, which does not exist: for mnist it")


# CIFAR-10


class Python2Pickler(pickle._Pickler):
    """Writes what the published archive holds: pickles of Python 2, whose text is bytes."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_bytes(self, text):
        self.write(b"T" + struct.pack("<i", len(text)) + text)  # type: ignore[attr-defined]

    def save_text(self, text):
        self.save_bytes(text.encode())

    dispatch[bytes], dispatch[str] = save_bytes, save_text


def pickled(part, protocol="python 2"):
    data = PLANES[part].reshape(4, 3072)
    labels = PLANE_LABELS[part].tolist()
    content = {b"batch_label": b"training batch", b"labels": labels, b"data": data}
    if isinstance(protocol, int):
        return pickle.dumps({k.decode(): v for k, v in content.items()}, protocol)
    file = io.BytesIO()
    Python2Pickler(file, 2).dump(content)
    return file.getvalue().replace(b"numpy._core", b"numpy.core")


def binary(part):
    rows = zip(PLANE_LABELS[part], PLANES[part], strict=True)
    return b"".join(bytes([label]) + image.tobytes() for label, image in rows)


def archive(folder, files):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as packed:
        for name, content in reversed({**files, "test_batch": b"no"}.items()):  # in any order
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return file.getvalue()


def write_cifar(root, form):
    """Write the five training files in one of the published forms; returns dataset.root."""
    python = {f"data_batch_{i + 1}": pickled(i) for i in range(5)}
    bare = {f"data_batch_{i + 1}.bin": binary(i) for i in range(5)}
    kind, name, files = ("py", "python", python) if "py" in form else ("bin", "binary", bare)
    folder = f"cifar-10-batches-{kind}"
    if "tar" in form:
        path = root / f"cifar-10-{name}.tar.gz"
        path.write_bytes(archive(folder, files))
        return path if "itself" in form else root
    (root / folder).mkdir()
    for name, content in files.items():
        (root / folder / name).write_bytes(content)
    return root / folder if "itself" in form else root


FORMS = [
    f"{kind}{itself}" for kind in ("py", "bin", "py tar", "bin tar") for itself in ("", " itself")
]


@pytest.mark.parametrize("form", FORMS)
def test_cifar_is_read_in_every_published_form(tmp_path, form):
    root = write_cifar(tmp_path, form)
    examples = source(config("cifar10", root, 32, 3))
    assert len(examples) == 20
    images, labels = examples.batch(np.arange(20), None)
    expected = scaled(PLANES).reshape(20, 3, 32, 32).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(images, expected, rtol=0, atol=1e-7)
    assert labels.tolist() == PLANE_LABELS.reshape(-1).tolist()


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_cifar_pickled_anew_by_python_3_is_read(tmp_path, protocol):
    root = write_cifar(tmp_path, "py")
    (root / "cifar-10-batches-py" / "data_batch_2").write_bytes(pickled(1, protocol))
    images, _ = source(config("cifar10", root, 32, 3)).batch(np.arange(4, 8), None)
    expected = scaled(PLANES[1].transpose(0, 2, 3, 1))
    np.testing.assert_allclose(images, expected, rtol=0, atol=1e-7)


def test_missing_cifar_files_say_which_go_where(tmp_path):
    settings = config("cifar10", tmp_path, 32, 3)
    assert message_of(settings).startswith(
        f"there is no data_batch_1 of CIFAR-10 in {tmp_path}: set dataset.root"
    )
    assert "cifar-10-python.tar.gz or cifar-10-binary.tar.gz" in message_of(settings)
    (write_cifar(tmp_path, "py itself") / "data_batch_4").unlink()
    assert "data_batch_4 cannot be read (No such file" in message_of(settings)
    (tmp_path / "few.tar.gz").write_bytes(archive("x", {"data_batch_1": pickled(0)}))
    few = message_of(config("cifar10", tmp_path / "few.tar.gz", 32, 3))
    assert "lacks some of data_batch_1 .. 5" in few


# Folders of images


def write_folder(root):
    """Write 6 x 6 PNGs of three classes; returns the pixels by path below the root."""
    names = ["cat/b.png", "cat/a.PNG", "cat/more/z.png", "ant/1.png", "dog/10.png", "dog/9.png"]
    made = {}
    for name in names:
        made[name] = rng.integers(0, 256, (6, 6, 3), np.uint8)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(made[name]).save(root / name)
    (root / "cat" / "notes.txt").write_text("no image")
    (root / "labels.csv").write_text("no class")
    return made


@pytest.mark.parametrize("place", [".", "train"])
@pytest.mark.parametrize("name", ["folder", "imagenet", "imgnet"])
def test_a_folder_is_read_in_the_order_of_torchvision(tmp_path, place, name):
    made = write_folder(tmp_path / place)
    order = ["ant/1.png", "cat/a.PNG", "cat/b.png", "cat/more/z.png", "dog/10.png", "dog/9.png"]
    examples = source(config(name, tmp_path, 6, 3, num_classes=3))
    images, labels = examples.batch(np.arange(6), None)
    assert labels.tolist() == [0, 1, 1, 1, 2, 2]
    assert (images.dtype, labels.dtype) == (np.float32, np.int32)
    for image, path in zip(images, order, strict=True):
        np.testing.assert_allclose(image, scaled(made[path]), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "write", "size"),
    [("cifar10", lambda root: write_cifar(root, "bin"), 32), ("folder", write_folder, 6)],
)
def test_images_are_mirrored_at_random_unless_flip_is_off(tmp_path, name, write, size):
    write(tmp_path)
    examples = source(config(name, tmp_path, size, 3))
    indices, rows = np.arange(len(examples)), Rows(1, 2, 0, len(examples))
    stored, mirrored = examples.batch(indices, None).images, rows.mirrored()[:, None, None, None]
    assert 0 < mirrored.sum() < len(examples)
    for flip in (True, False):
        images, _ = source(config(name, tmp_path, size, 3, flip=flip)).batch(indices, rows)
        np.testing.assert_array_equal(images, np.where(mirrored & flip, stored[:, :, ::-1], stored))


def test_grey_palette_and_jpeg_images_become_the_configured_channels(tmp_path):
    grey = rng.integers(0, 256, (6, 6), np.uint8)
    (tmp_path / "a").mkdir()
    Image.fromarray(grey).save(tmp_path / "a" / "1.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "a" / "2.png")
    colour = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    colour.save(tmp_path / "a" / "3.JPEG")
    with Image.open(tmp_path / "a" / "3.JPEG") as image:
        decoded = np.asarray(image)
    images, _ = source(config("folder", tmp_path, 6, 3)).batch(np.arange(3), None)
    for row in (0, 1):
        np.testing.assert_allclose(images[row], scaled(grey[..., None].repeat(3, 2)), atol=1e-7)
    np.testing.assert_allclose(images[2], scaled(decoded), rtol=0, atol=1e-7)
    images, _ = source(config("folder", tmp_path, 6, 1)).batch(np.arange(2), None)
    np.testing.assert_allclose(images[..., 0], scaled([grey, grey]), rtol=0, atol=1e-7)


@pytest.mark.parametrize("width", [32, 48])
def test_halving_averages_blocks_of_four_pixels(width):
    pixels = rng.integers(0, 256, (32, width, 3), np.uint8)
    means = pixels.astype(float).reshape(16, 2, width // 2, 2, 3).mean((1, 3))
    left = (width // 2 - 16) // 2
    got = centre_crop(Image.fromarray(pixels), 16)
    assert np.abs(got - means[:, left : left + 16]).max() <= 1  # each of two passes rounds


def test_the_crop_is_that_of_adm():
    wide = Image.fromarray(rng.integers(0, 256, (37, 53, 3), np.uint8))
    halved = wide.resize((26, 18), Image.Resampling.BOX)  # 37 >= 2 * 16, 18 < 2 * 16
    sized = halved.resize((23, 16), Image.Resampling.BICUBIC)  # 26 * 16 / 18 = 23.1
    np.testing.assert_array_equal(centre_crop(wide, 16), np.asarray(sized.crop((3, 0, 19, 16))))
    tall = Image.fromarray(rng.integers(0, 256, (25, 20), np.uint8))
    sized = tall.resize((16, 20), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(centre_crop(tall, 16), np.asarray(sized.crop((0, 2, 16, 18))))


@pytest.mark.parametrize("shape", [(5, 5), (5, 9), (9, 5), (16, 16), (400, 3), (17, 31)])
def test_every_image_becomes_a_square_of_the_size(shape):
    image = Image.fromarray(np.full((*shape, 3), 77, np.uint8))
    cropped = centre_crop(image, 16)
    assert cropped.shape == (16, 16, 3)
    assert set(cropped.reshape(-1).tolist()) == {77}


def test_folders_that_cannot_be_used_are_refused_in_one_sentence(tmp_path):
    assert "holds no folders" in message_of(config("folder", tmp_path, 6, 3))
    write_folder(tmp_path)
    message = message_of(config("folder", tmp_path, 6, 3, num_classes=2))
    assert "holds 3 folders, expected one for each class: dataset.num_classes is 2" in message
    assert "expected 3 (colour) or 1 (grey)" in message_of(config("folder", tmp_path, 6, 4))
    (tmp_path / "eel").mkdir()
    assert f"{tmp_path / 'eel'} holds no images" in message_of(config("folder", tmp_path, 6, 3))
    assert "which does not exist" in message_of(config("folder", tmp_path / "no", 6, 3))
    assert "Not a directory" in message_of(config("folder", tmp_path / "labels.csv", 6, 3))


# Damage


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


WRITERS: dict[str, Callable[[Path], object]] = {
    "mnist": lambda root: write_mnist(root, PLAIN, bytes),
    "mnist.gz": lambda root: write_mnist(root, PACKED, gzip.compress),
    "cifar10": lambda root: write_cifar(root, "py"),
    "cifar10.bin": lambda root: write_cifar(root, "bin"),
    "cifar10.tar": lambda root: write_cifar(root, "py tar"),
    "folder": write_folder,
}
TWICE = np.zeros((2, 9), np.uint8)
GZ = gzip.compress(idx(DIGITS))
# data set: (file, [(content, or where the file ends, what is said)])
DAMAGED: dict[str, tuple[str, list[tuple[bytes | int, str]]]] = {
    "mnist": (PLAIN[0], [
        (-1, "cannot be read (ValueError: cannot reshape"),
        (idx(DIGITS) + b"x", "cannot be read (ValueError: cannot reshape"),
        (10, "cannot be read (ValueError"),
        (0, "not an idx file of bytes with 3 axes"),
        (b"<html>404</html>", "not an idx file of bytes with 3 axes"),
        (idx(DIGIT_LABELS), "not an idx file of bytes with 3 axes"),
        (idx(DIGITS[:3]), "holds 3 images and"),
    ]),
    "mnist.gz": (PACKED[0], [
        *((end, "cannot be read ( … download it again") for end in (-9, 100, 1)),
        (GZ[:500] + b"damage" + GZ[506:], "cannot be read ( … download it again"),
    ]),
    "cifar10": ("cifar-10-batches-py/data_batch_3", [
        (pickle.dumps({b"data": Harmful(), b"labels": [1]}), ".mkdir, which is not data"),
        *((end, "cannot be read (") for end in (-20, 50)),
        (0, "cannot be read (EOFError"),
        (b"not a pickle", "cannot be read ("),
        (pickle.dumps([1, 2], 2), "cannot be read ("),
        (pickle.dumps({b"labels": [1]}, 2), "cannot be read ("),
        (pickle.dumps({"data": np.zeros((1, 3072)), "labels": [1]}, 2), "pixels are not bytes"),
        (pickle.dumps({"data": TWICE, "labels": [1]}, 2), "(2, 9) pixels"),
        (pickle.dumps({"data": np.zeros((1, 3072), "u1"), "labels": [10]}, 2), "is 10, expected"),
    ]),
    "cifar10.bin": ("cifar-10-batches-bin/data_batch_5.bin", [
        *((content, "cannot be read (") for content in (0, -1, b"<html>")),
    ]),
    "cifar10.tar": ("cifar-10-python.tar.gz", [
        *((end, "download CIFAR-10 again") for end in (0, 10, 3000, -30)),
    ]),
    "folder": ("cat/b.png", [
        *((content, "cannot be read ( … replace the file") for content in (0, 4, 60, b"text")),
    ]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("data", "content", "says"),
    [(data, content, says) for data, (_, rows) in DAMAGED.items() for content, says in rows],
)
def test_a_damaged_file_is_one_sentence_and_runs_nothing(
    tmp_path, monkeypatch, data, content, says
):
    monkeypatch.chdir(tmp_path)
    WRITERS[data](tmp_path)
    path, name = tmp_path / DAMAGED[data][0], data.partition(".")[0]
    path.write_bytes(path.read_bytes()[:content] if isinstance(content, int) else content)
    size, channels = {"mnist": (28, 1), "cifar10": (32, 3), "folder": (6, 3)}[name]
    settings = config(name, tmp_path, size, channels)
    message = refusal(DataError, lambda: source(settings).batch(np.arange(6), None))
    assert str(path) in message
    assert all(part in message for part in says.split(" … "))
    assert not (tmp_path / "harm").exists()


def test_a_label_that_is_no_class_is_named(tmp_path):
    write_mnist(tmp_path, PLAIN, bytes)
    (tmp_path / PLAIN[1]).write_bytes(idx(DIGIT_LABELS + 5))
    message = message_of(config("mnist", tmp_path))
    assert f"{tmp_path / PLAIN[1]} is 14, expected 0 .. 9 (dataset.num_classes is 10)" in message
