"""The autoencoder: files that diffusers wrote or would refuse, and the same answers as diffusers'.

What verify's family "autoencoder" compares is compared there; here are the files, the borders and
the full size.
"""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from refusals import refusal
from safetensors.numpy import load_file, save_file

from impls.common import draws
from impls.common.draws import Stream
from impls.files.autoencoder import (
    AutoencoderConfig,
    AutoencoderError,
    fingerprint,
    read_autoencoder,
    tensor_shapes,
)
from verify.fixtures.standin_vae import SIZES, STANDIN, random_autoencoder, write

ROOT = Path(__file__).parents[3]
CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
STABLE_DIFFUSION = AutoencoderConfig(block_out_channels=(128, 256, 512, 512), layers_per_block=2)
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def diffusers_class():
    """AutoencoderKL, by the way that the PyTorch text takes."""
    pytest.importorskip("diffusers")
    from impls.meanflow_torch.vision import autoencoder

    return autoencoder._network_class()


def images(*shape):
    return draws.normal(shape, 3, Stream.CHECK).clip(-1, 1)


@pytest.fixture
def folder(tmp_path):
    """A copy of the stand-in."""
    return shutil.copytree(STANDIN, tmp_path / "a")


def change_tensors(folder, change):
    changed = change(load_file(folder / WEIGHTS))
    save_file({k: np.ascontiguousarray(v) for k, v in changed.items()}, folder / WEIGHTS)


def change_config(folder, **changes):
    """Other values in the configuration; None leaves a key out."""
    path = folder / CONFIG
    about = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in about.items() if v is not None}))


def old_names(tensors):
    """The names that the published file still has."""
    renamed = {}
    for name, array in tensors.items():
        part = name.partition(".attentions.0.")[2].rpartition(".")[0]
        renamed[name.replace(f".{part}.", f".{OLD_NAMES.get(part, part)}.")] = array
    assert len(renamed.keys() - tensors.keys()) == 16
    return renamed


def pointwise(tensors):
    """The kernels of attention as those of convolutions."""
    return {
        name: array[:, :, None, None] if ".attentions." in name and array.ndim == 2 else array
        for name, array in tensors.items()
    }


def refused(folder):
    return refusal(AutoencoderError, read_autoencoder, folder)


# Reading


def test_the_stand_in_is_what_its_writer_writes(tmp_path):
    write(tmp_path)
    for name in (CONFIG, WEIGHTS):
        assert (tmp_path / name).read_bytes() == (STANDIN / name).read_bytes()
    assert sum((STANDIN / name).stat().st_size for name in (CONFIG, WEIGHTS)) < 200_000


def test_another_tensor_or_configuration_has_another_fingerprint():
    one = read_autoencoder(STANDIN)
    other = {**one.tensors, "quant_conv.bias": one.tensors["quant_conv.bias"] + np.float32(1)}
    groups = SIZES.model_copy(update={"norm_num_groups": 2})
    changed = (one, one._replace(tensors=other), one._replace(config=groups))
    assert len({fingerprint(autoencoder) for autoencoder in changed}) == 3
    assert fingerprint(one) == fingerprint(random_autoencoder(SIZES, 0))


def test_diffusers_reads_the_stand_in_and_writes_the_same(tmp_path):
    network = diffusers_class().from_pretrained(STANDIN)
    network.save_pretrained(tmp_path)
    assert (tmp_path / WEIGHTS).read_bytes() == (STANDIN / WEIGHTS).read_bytes()
    theirs, ours = (json.loads((f / CONFIG).read_text()) for f in (tmp_path, STANDIN))
    assert {key: theirs[key] for key in ours} == ours


def test_names_and_shapes_are_those_of_diffusers():
    network_class = diffusers_class()
    import torch

    for config in (STABLE_DIFFUSION, SIZES, AutoencoderConfig(block_out_channels=(32, 64))):
        count = len(config.block_out_channels)
        with torch.device("meta"):
            network = network_class(
                down_block_types=("DownEncoderBlock2D",) * count,
                up_block_types=("UpDecoderBlock2D",) * count,
                **config.model_dump(),
            )
        theirs = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        assert tensor_shapes(config) == theirs
    assert sum(map(math.prod, tensor_shapes(STABLE_DIFFUSION).values())) == 83_653_863
    assert STABLE_DIFFUSION.factor == 8


def test_a_pipelines_folder_holds_the_autoencoder_in_its_folder_vae(folder):
    folder.rename(folder.with_name("vae"))
    assert fingerprint(read_autoencoder(folder.parent)) == fingerprint(read_autoencoder(STANDIN))


@pytest.mark.parametrize("change", [old_names, lambda tensors: old_names(pointwise(tensors))])
def test_old_names_of_attention_are_read(folder, change):
    change_tensors(folder, change)
    assert fingerprint(read_autoencoder(folder)) == fingerprint(read_autoencoder(STANDIN))


def test_diffusers_reads_old_names_to_the_same(folder):
    change_tensors(folder, old_names)
    theirs = diffusers_class().from_pretrained(folder).state_dict()
    ours = read_autoencoder(folder).tensors
    assert {name: array.tobytes() for name, array in ours.items()} == {
        name: array.numpy().tobytes() for name, array in theirs.items()
    }


def test_the_published_configuration_is_read(folder):
    """It was written before diffusers had the keys that are absent here."""
    about = {
        "_class_name": "AutoencoderKL", "_diffusers_version": "0.4.2", "act_fn": "silu",
        "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D"] * 4,
        "in_channels": 3, "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": 32,
        "out_channels": 3, "sample_size": 256, "up_block_types": ["UpDecoderBlock2D"] * 4,
    }  # fmt: skip
    (folder / CONFIG).write_text(json.dumps(about))
    message = refused(folder)  # the weights are the stand-in's
    assert "encoder.conv_in.weight" in message
    assert "is (4, 3, 3, 3), expected (128, 3, 3, 3)" in message


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_half_precision_are_read_as_float32(folder, dtype):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save

    tensors = load_file(STANDIN / WEIGHTS)
    half = {name: torch.from_numpy(a).to(getattr(torch, dtype)) for name, a in tensors.items()}
    save(half, folder / WEIGHTS)
    for name, array in read_autoencoder(folder).tensors.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, half[name].float().numpy())


# What cannot be read

GET = "from huggingface.co/stabilityai/sd-vae-ft-mse"
PAGE = "{path} is a web page, not the file itself: get {name} {get}"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:a1\nsize 334643276\n"
# What stands in a file, and what is said.
NO_FILES = {
    None: "{path} cannot be read (No such file or directory): get {name} {get}",
    "<!DOCTYPE html><html>": PAGE,
    "\n <html lang=en>": PAGE,
    "<?xml version='1.0'?>": PAGE,
    POINTER: "{path} is a Git LFS pointer, not the file, which git lfs pull",
}


def test_a_folder_that_is_not_there_is_refused(folder):
    where = f"get {CONFIG} and {WEIGHTS} {GET}"
    assert refused(folder / "no") == f"{folder / 'no'} does not exist: {where}"
    assert refused(folder / WEIGHTS) == f"{folder / WEIGHTS} is not a folder: {where}"


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
@pytest.mark.parametrize("content", NO_FILES)
def test_a_file_that_is_missing_or_no_such_file_is_named_with_where_to_get_it(
    folder, name, content
):
    path = folder / name
    path.unlink()
    if content is not None:
        path.write_text(content + " <body>Access denied</body>" + " " * 5000)
    assert refused(folder).startswith(NO_FILES[content].format(path=path, name=name, get=GET))


@pytest.mark.parametrize(
    ("name", "change", "hint"),
    [(WEIGHTS, lambda whole, size=size: whole[:size], ", it may have been cut short")
     for size in (0, 7, 1000, -1)]
    + [(CONFIG, lambda _, text=text: text, "")
       for text in (b"", b"[]", b"{", b"3", b"{}", b'"AutoencoderKL"', b"[" * 100_000)],
)  # fmt: skip
def test_weights_that_were_cut_short_and_a_configuration_that_is_none_are_refused(
    folder, name, change, hint
):
    path = folder / name
    path.write_bytes(change(path.read_bytes()))
    message = refused(folder)
    assert message.startswith(f"{path} cannot be read (")
    assert message.endswith(f"){hint}: get {name} {GET}")


def test_weights_that_are_a_pickle_alone_are_refused(folder):
    (folder / WEIGHTS).rename((folder / WEIGHTS).with_suffix(".bin"))
    message = refused(folder)
    assert "has its weights only as diffusion_pytorch_model.bin, a pickle" in message
    assert f"get {WEIGHTS} {GET}, or let diffusers convert it" in message


KIND = "only autoencoders of the kind of Stable Diffusion 1 and 2 are read"


@pytest.mark.parametrize(
    ("key", "value", "says", "kind"),
    [
        ("layers_per_block", 0, "expected ", ""),
        ("layers_per_block", "two", "expected ", ""),
        ("layers_per_block", 1.5, "expected ", ""),
        ("latent_channels", True, "expected ", ""),
        ("block_out_channels", [4, -4, 8, 8], "expected ", ""),
        ("block_out_channels", [], "expected ", ""),
        ("block_out_channels", 4, "expected ", ""),
        ("norm_num_groups", {}, "expected ", ""),
        ("norm_num_groups", 3, "holds 4, expected a multiple of norm_num_groups, which is 3", ""),
        ("act_fn", "mish", "'mish', expected 'silu'", KIND),
        ("mid_block_add_attention", False, "False, expected True", KIND),
        ("use_quant_conv", False, "False, expected True", KIND),
        ("use_post_quant_conv", False, "False, expected True", KIND),
        ("scaling_factor", 0.13025, "0.13025, expected 0.18215", KIND),
        ("shift_factor", 0.0609, "0.0609, expected None", KIND),
        ("latents_mean", [0.1], "[0.1], expected None", KIND),
        ("latents_std", [0.1], "[0.1], expected None", KIND),
        ("down_block_types", ["DownEncoderBlock2D"] * 3, "], expected ['DownEncod", KIND),
        ("up_block_types", ["AttnUpDecoderBlock2D"] * 4, "], expected ['UpDecod", KIND),
        ("up_block_types", None, "['absent'], expected ['UpDecoderBlock2D', ", KIND),
    ],
)
def test_configurations_of_other_networks_are_refused(folder, key, value, says, kind):
    change_config(folder, **{key: value})
    message = refused(folder)
    assert says in message
    assert key in message
    assert str(folder / CONFIG) in message
    if kind:
        assert message.startswith(f"{key} in {folder / CONFIG} is ")
        assert kind in message


def test_the_configuration_of_another_class_is_refused(folder):
    change_config(folder, _class_name="UNet")
    says = f"{folder / CONFIG} is the configuration of UNet, expected AutoencoderKL: get"
    assert refused(folder).startswith(says)


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("decoder.conv_in.weight", None, "lacks the tensor decoder.conv_in.weight (8, 4, 3, 3)"),
        ("extra", np.zeros(3, np.float32), "holds the tensor extra, which the network"),
        ("decoder.conv_in.bias", np.zeros(7, np.float32), "is (7,), expected (8,): are"),
        ("decoder.conv_in.bias", np.zeros(8, np.int32), "is int32, expected floating-point"),
    ],
)
def test_tensors_that_do_not_fit_are_named(folder, name, array, says):
    def change(tensors):
        given = tensors | {name: array}
        return {key: value for key, value in given.items() if value is not None}

    change_tensors(folder, change)
    message = refused(folder)
    assert name in message
    assert says in message


# The texts


@pytest.fixture
def text(subject):
    """An implementation whose autoencoder can be loaded."""
    if subject.__name__.endswith("torch"):
        pytest.importorskip("diffusers")
    return subject


@pytest.mark.parametrize("shape", [(16, 16, 3), (1, 16, 12, 3), (1, 12, 16, 3), (1, 3, 16, 16)])
def test_images_of_another_shape_are_refused(text, shape):
    model = text.load_autoencoder(read_autoencoder(STANDIN))
    expected = r"expected \(batch, height, width, 3\) with sides that are multiples of 8"
    with pytest.raises(ValueError, match=expected):
        text.encode(model, text.put(images(*shape)))
    with pytest.raises(ValueError, match=r"expected \(batch, height, width, 4\)"):
        text.decode(model, text.put(images(*shape)))


def test_loading_draws_no_random_numbers():
    pytest.importorskip("diffusers")
    import torch

    from impls import meanflow_torch

    before = torch.get_rng_state()
    meanflow_torch.load_autoencoder(read_autoencoder(STANDIN))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.slow
@pytest.mark.parametrize(
    "side", [64, pytest.param(256, marks=pytest.mark.soak("repetitions", of="side", share=None))]
)
def test_jax_gives_what_diffusers_gives_at_full_size(side):
    pytest.importorskip("diffusers")
    jax = pytest.importorskip("impls.meanflow_jax")
    torch = pytest.importorskip("impls.meanflow_torch")
    autoencoder = random_autoencoder(STABLE_DIFFUSION, 0)
    latent = draws.normal((2, side // 8, side // 8, 4), 4, Stream.CHECK)
    found = []
    for text in (jax, torch):
        model = text.load_autoencoder(autoencoder)
        encoded = text.encode(model, text.put(images(2, side, side, 3)))
        found.append(text.get([*encoded, text.decode(model, text.put(latent))]))
    for what, ours, theirs in zip(("mean", "deviation", "image"), *found, strict=True):
        assert np.abs(ours - theirs).max() <= 3e-5 * np.abs(theirs).max(), what
