"""`meanflow prepare latents`: images to shards, whole and the same bits however it is run."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusals import refusal
from safetensors.numpy import save_file
from small_runs import trained

import reference
from impls.common import draws
from impls.common.draws import Stream
from impls.common.errors import UserError
from impls.data import encode
from impls.data.encode import encode_folder
from impls.data.folder import centre_crop
from impls.files import shards
from impls.files.autoencoder import read_autoencoder
from impls.files.resumable import work_through
from impls.files.writing import write_new
from meanflow_repro import main
from verify.fixtures.standin_vae import SIZES, STANDIN, random_autoencoder

ROOT = Path(__file__).parents[3]
CLASSES, EACH = ("ant", "bee", "cat"), 5
NUM, SIDE = 15, 16  # 2 x 2 latents


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of several sizes, in a folder for each class."""
    root = tmp_path_factory.mktemp("images")
    for label, name in enumerate(CLASSES):
        (root / "train" / name).mkdir(parents=True)
        for number in range(EACH):
            shape = (20 + number, 30 - 2 * number, 3)
            levels = draws.uniform(shape, label, Stream.CHECK, number) * 256
            Image.fromarray(levels.astype(np.uint8)).save(root / "train" / name / f"{number}.png")
    return root


class Doubler:
    """A framework that encodes by hand, at once: its first four channels stand for the latent."""

    @staticmethod
    def load_autoencoder(autoencoder):
        return autoencoder

    put = get = staticmethod(lambda tree: tree)

    @staticmethod
    def encode(model, images):
        """Of each 8 x 8 pixels the first, in red, green, blue and red; the size of the batch."""
        corner = images[:, ::8, ::8, [0, 1, 2, 0]]
        return corner, np.full_like(corner, len(images))


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    """Frameworks of that name."""
    real = encode.implementation
    monkeypatch.setattr(
        encode, "implementation", lambda name: Doubler if "by hand" in name else real(name)
    )


def encoded(folder, output, **options):
    given = {"image_size": SIDE, "batch_size": 2, "shard_size": 4, "framework": "by hand"}
    given |= options
    return encode_folder(folder, given.pop("vae", STANDIN), output, **given)


def command(folder, output, *more):
    """The arguments that encode the same with the command."""
    given = ["--imagenet", folder, "--vae", STANDIN, "--output", output, "--image-size", SIDE]
    return ["prepare", "latents", *map(str, [*given, "--device", "cpu", *more])]


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def crops(folder):
    """The images as they are to be encoded: [n, 16, 16, 3] in -1..1."""
    paths = [folder / "train" / name / f"{i}.png" for name in CLASSES for i in range(EACH)]
    return np.stack([centre_crop(Image.open(path), SIDE) for path in paths]) / 127.5 - 1


def message_of(folder, output, **options):
    return refusal(UserError, encoded, folder, output, **options)


# What is stored


@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_shards_hold_mean_and_deviation_of_each_image_in_order(tmp_path, folder, framework):
    pytest.importorskip({"jax": "jax", "torch": "diffusers"}[framework])
    made = encoded(folder, tmp_path, framework=framework, flip=True)
    assert made.layout == ((2, 2, 8), "float32", True, (4, 4, 4, 3))
    assert (made.num_images, made.num_shards, made.is_whole) == (NUM, 4, True)
    images, model = crops(folder), reference.load_autoencoder(read_autoencoder(STANDIN))
    opened = shards.open_shards(tmp_path)
    for stored, given in ((opened.images, images), (opened.flipped, images[:, :, ::-1])):
        expected = np.concatenate(reference.encode(model, given), axis=-1)
        np.testing.assert_allclose(np.concatenate(stored), expected, rtol=0, atol=2e-5)
    assert opened.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 7, 100])
def test_every_batch_is_filled_up_to_the_same_size(tmp_path, folder, batch_size):
    encoded(folder, tmp_path, batch_size=batch_size, shard_size=7)
    stored = np.concatenate(shards.open_shards(tmp_path).images)
    np.testing.assert_array_equal(stored[..., 4:], batch_size)
    expected = crops(folder)[:, ::8, ::8, [0, 1, 2, 0]].astype(np.float32)
    np.testing.assert_allclose(stored[..., :4], expected, rtol=0, atol=1e-7)


def test_half_precision_rounds(tmp_path, folder):
    encoded(folder, tmp_path / "whole")
    encoded(folder, tmp_path / "half", half=True)
    whole, half = (shards.open_shards(tmp_path / name).images for name in ("whole", "half"))
    for one, other in zip(whole, half, strict=True):
        assert other.dtype == np.float16
        np.testing.assert_array_equal(one.astype(np.float16), other)


def test_images_may_lie_in_the_folder_itself(tmp_path, folder):
    encoded(folder, tmp_path / "a")
    encoded(folder / "train", tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


# However it is run


@pytest.mark.parametrize("num_processes", [2, 3, 5])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_several_processes_write_the_same_bits_as_one(tmp_path, folder, num_processes, is_reversed):
    encoded(folder, tmp_path / "one", flip=True)
    order = sorted(range(num_processes), reverse=is_reversed)
    for position, process in enumerate(order):
        # The index is written by the last that has anything to write: there are four shards.
        still = [other for other in order[position + 1 :] if other < 4]
        options = {"num_processes": num_processes, "process": process, "flip": True}
        made = encoded(folder, tmp_path / "several", **options)
        assert made.num_shards == len(range(process, 4, num_processes))
        assert made.is_whole == (tmp_path / "several" / "index.json").exists() == (not still)
    assert contents(tmp_path / "several") == contents(tmp_path / "one")


def start(*arguments):
    """The command in a process of its own."""
    asked = [sys.executable, "-m", "meanflow_repro", *arguments]
    return subprocess.Popen(asked, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_processes_at_once_write_the_same_bits_as_one(tmp_path, folder):
    pytest.importorskip("jax")
    options = ["--batch-size", 2, "--shard-size", 1]
    several = [
        start(*command(folder, tmp_path / "a", *options, "--num-processes", 2, "--process", i))
        for i in range(2)
    ]
    said = [process.communicate()[0] for process in several]
    assert [process.returncode for process in several] == [0, 0]
    assert "encoded 8 images into 8 shards" in said[0]
    assert "encoded 7 images into 7 shards" in said[1]
    encoded(folder, tmp_path / "b", shard_size=1, framework="jax")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_killed_encoding_goes_on_to_the_same_bits(tmp_path, folder):
    pytest.importorskip("jax")
    encoded(folder, tmp_path / "whole", shard_size=1, framework="jax")
    asked = command(folder, tmp_path / "killed", "--batch-size", 2, "--shard-size", 1)
    with start(*asked) as process:
        deadline = time.monotonic() + 60
        first = tmp_path / "killed" / "labels-00000.npy"
        while not first.exists() and time.monotonic() < deadline:
            time.sleep(0.0005)
        process.kill()
    assert first.exists()
    assert not (tmp_path / "killed" / "index.json").exists()
    encoded(folder, tmp_path / "killed", shard_size=1, framework="jax")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_encoding_again_changes_nothing_and_encodes_nothing(tmp_path, folder, monkeypatch):
    encoded(folder, tmp_path)
    before = contents(tmp_path)
    monkeypatch.setattr(Doubler, "encode", None)
    assert encoded(folder, tmp_path, batch_size=3).is_whole
    assert contents(tmp_path) == before


def test_a_process_leaves_what_another_is_writing(tmp_path, folder):
    tmp_path.joinpath(".partial-77-images-00001.npy").write_text("being written")
    encoded(folder, tmp_path, num_processes=2, process=0)
    assert (tmp_path / ".partial-77-images-00001.npy").exists()
    encoded(folder, tmp_path, num_processes=2, process=1)
    assert not list(tmp_path.glob(".partial-*"))


@pytest.mark.parametrize("has_links", [True, False])
def test_of_two_plans_written_at_once_the_first_stays(tmp_path, monkeypatch, has_links):
    def no_links(*_):
        raise OSError(95, "Operation not supported")

    if not has_links:
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    write_new(tmp_path / "plan", b"first")
    assert (tmp_path / "plan").read_bytes() == b"first"
    if has_links:
        write_new(tmp_path / "plan", b"second")
        assert (tmp_path / "plan").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["plan"]


# What is refused


@pytest.mark.parametrize(
    ("options", "another"),
    [
        ({"image_size": 24}, "image_size, shape"),
        ({"shard_size": 5}, "counts"),
        ({"half": True}, "dtype"),
        ({"flip": True}, "flip"),
        ({"framework": "another by hand"}, "framework"),
    ],
)
def test_other_options_in_the_same_folder_are_refused(tmp_path, folder, options, another):
    encoded(folder, tmp_path, num_processes=2)
    before = contents(tmp_path)
    expected = f"or with other options (another {another}): give another folder"
    assert expected in message_of(folder, tmp_path, **options)
    assert contents(tmp_path) == before


def test_another_autoencoder_or_other_images_in_the_same_folder_are_refused(tmp_path, folder):
    output, other, more = tmp_path / "out", tmp_path / "vae", tmp_path / "images"
    encoded(folder, output)
    shutil.copytree(STANDIN, other)
    save_file(random_autoencoder(SIZES, 1).tensors, other / "diffusion_pytorch_model.safetensors")
    assert "(another vae): give another folder" in message_of(folder, output, vae=other)
    shutil.copytree(folder, more)
    (more / "train" / "ant" / "0.png").rename(more / "train" / "ant" / "00.png")
    assert "(another names): give another folder" in message_of(more, output)


def test_a_packing_of_files_is_not_mixed_with_an_encoding(tmp_path, folder):
    (tmp_path / "packing.json").write_text(json.dumps({"names": "of files", "shape": [2, 2, 8]}))
    message = message_of(folder, tmp_path)
    assert "with other options (another names, vae, framework, image_size, dtype," in message


def test_what_cannot_be_encoded_is_one_sentence(tmp_path, folder):
    out = tmp_path / "out"
    message = message_of(tmp_path / "no", out)
    assert message.startswith(f"{tmp_path / 'no'} cannot be read (No such file or directory): give")
    assert "give --imagenet the folder of images, with one folder per class" in message
    assert "get config.json and diffusion_pytorch_model" in message_of(folder, out, vae=out)
    for size in (12, 4, 257):
        expected = f"--image-size is {size}, expected a multiple of 8, by which the autoencoder"
        assert message_of(folder, out, image_size=size).startswith(expected)
    for process in (-1, 2):
        expected = f"--process is {process}, expected 0 .. 1, below --num-processes"
        assert message_of(folder, out, num_processes=2, process=process) == expected
    assert not out.exists()
    (tmp_path / "file").write_text("")
    assert f"cannot write to {tmp_path / 'file'}: " in message_of(folder, tmp_path / "file")


def test_a_damaged_image_is_named_and_mended_images_go_on(tmp_path, folder):
    path = shutil.copytree(folder, tmp_path / "images") / "train" / "cat" / "1.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:40])
    message = message_of(tmp_path / "images", tmp_path / "out")
    assert message.startswith(f"{path} cannot be read (")
    assert message.endswith("replace the file or remove it")
    assert len(list((tmp_path / "out").glob("labels-*.npy"))) == 2
    path.write_bytes(whole)
    assert encoded(tmp_path / "images", tmp_path / "out").is_whole


def test_numbers_that_are_not_finite_are_refused(tmp_path, folder, monkeypatch):
    class Broken(Doubler):
        @staticmethod
        def encode(model, images):
            mean, std = Doubler.encode(model, images)
            return mean, 1e6 * std

    monkeypatch.setattr(encode, "implementation", lambda _: Broken)
    expected = "output is not finite: is it damaged, or are the numbers too large for --half?"
    assert expected in message_of(folder, tmp_path, half=True)
    assert not list(tmp_path.glob("*.npy"))


def test_an_autoencoder_of_grey_images_is_refused(tmp_path, folder, monkeypatch):
    grey = SIZES.model_copy(update={"in_channels": 1})
    monkeypatch.setattr(encode, "read_autoencoder", lambda _: random_autoencoder(grey, 0))
    assert "encodes images of 1 channels, expected 3 (colour)" in message_of(folder, tmp_path)


# The command


def test_the_command_makes_latents_that_train(tmp_path, folder, capsys):
    pytest.importorskip("jax")
    options = ["--image-size", 32, "--batch-size", 4, "--flip"]
    assert main(command(folder, tmp_path / "latents", *options)) == 0
    assert "encoded 15 images into 1 shards in" in capsys.readouterr().out
    keys = {"name": "imgnet_latent", "root": tmp_path / "latents", "num_classes": 3}
    keys |= {"image_size": 4, "image_channels": 4}
    dataset = {f"dataset__{key}": value for key, value in keys.items()}
    saved = trained("jax", tmp_path / "run", **dataset, training__batch_size=4).checkpoint
    assert saved.step == 6


def test_the_command_says_when_other_processes_are_not_done(tmp_path, folder, capsys):
    pytest.importorskip("jax")
    options = ["--shard-size", 4, "--num-processes", 2, "--process", 1]
    assert main(command(folder, tmp_path, *options)) == 0
    out = capsys.readouterr().out
    assert f"encoded 7 images into 2 shards in {tmp_path}" in out
    assert "not complete yet: the process that finishes last writes the index" in out


def test_items_are_read_while_those_before_are_worked_on():
    started: list[int] = []
    saved: dict[range, list[list[int]]] = {}
    counts: list[int] = []
    ahead = [*range(5), *range(5, 11)]  # three batches more: of 2, 3 and 3

    def read(index):
        started.append(index)
        return index

    def make(items):
        deadline = time.monotonic() + 10
        while len(started) < len(ahead) and time.monotonic() < deadline:
            time.sleep(0.001)
        if not counts:
            assert sorted(started) == ahead
        return items

    work_through([range(5), range(5, 15)], 3, read, make, saved.__setitem__, counts.append)
    assert saved == {
        range(5): [[0, 1, 2], [3, 4]],
        range(5, 15): [[5, 6, 7], [8, 9, 10], [11, 12, 13], [14]],
    }
    assert counts == [3, 2, 3, 3, 3, 1]
