"""The autoencoder: files that diffusers wrote or would refuse, and the same answers as diffusers'.

What verify's family "autoencoder" compares is compared there; here are the files, the borders and
the full size.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import reference
from impls.common import draws
from impls.common.draws import Stream
from impls.files.autoencoder import (
    Autoencoder,
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


def diffusers_class() -> Any:
    """AutoencoderKL, by the way that the PyTorch text takes."""
    pytest.importorskip("diffusers")
    from impls.meanflow_torch import autoencoder

    return autoencoder._network_class()


def images(*shape: int) -> np.ndarray:
    return draws.normal(shape, 3, Stream.CHECK).clip(-1, 1)


def answers(subject: ModuleType, autoencoder: Autoencoder, side: int) -> list[np.ndarray]:
    """Mean and deviation of an image, and the image of a latent."""
    config = autoencoder.config
    small = side // config.factor
    model = subject.load_autoencoder(autoencoder)
    encoded = subject.encode(model, subject.put(images(2, side, side, config.in_channels)))
    latent = draws.normal((2, small, small, config.latent_channels), 4, Stream.CHECK)
    return subject.get([*encoded, subject.decode(model, subject.put(latent))])


def copied(folder: Path) -> Path:
    """A copy of the stand-in."""
    folder.mkdir(parents=True)
    for name in (CONFIG, WEIGHTS):
        (folder / name).write_bytes((STANDIN / name).read_bytes())
    return folder


def with_tensors(folder: Path, change: Any) -> Path:
    """A copy of the stand-in with other tensors."""
    path = copied(folder) / WEIGHTS
    save_file({k: np.ascontiguousarray(v) for k, v in change(load_file(path)).items()}, path)
    return folder


def with_config(folder: Path, **changes: Any) -> Path:
    """A copy of the stand-in with other values in its configuration; None leaves a key out."""
    path = copied(folder) / CONFIG
    about = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in about.items() if v is not None}))
    return folder


def old_names(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The names that the published file still has."""
    renamed = {}
    for name, array in tensors.items():
        part = name.partition(".attentions.0.")[2].rpartition(".")[0]
        renamed[name.replace(f".{part}.", f".{OLD_NAMES.get(part, part)}.")] = array
    assert len(renamed.keys() - tensors.keys()) == 16
    return renamed


def pointwise(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The kernels of attention as those of convolutions."""
    return {
        name: array[:, :, None, None] if ".attentions." in name and array.ndim == 2 else array
        for name, array in tensors.items()
    }


def refused(folder: Path) -> str:
    with pytest.raises(AutoencoderError) as caught:
        read_autoencoder(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Reading


def test_the_stand_in_is_what_its_writer_writes(tmp_path: Path) -> None:
    write(tmp_path)
    for name in (CONFIG, WEIGHTS):
        assert (tmp_path / name).read_bytes() == (STANDIN / name).read_bytes()
    assert sum((STANDIN / name).stat().st_size for name in (CONFIG, WEIGHTS)) < 200_000


def test_the_stand_in_is_read_as_it_was_written() -> None:
    read, made = read_autoencoder(STANDIN), random_autoencoder(SIZES, 0)
    assert read.config == made.config == SIZES
    assert list(read.tensors) == list(made.tensors)
    for name, array in made.tensors.items():
        np.testing.assert_array_equal(read.tensors[name], array)
    image = answers(reference, read, 64)[2]
    assert image.shape == (2, 64, 64, 3)
    assert 0.2 < np.abs(image).mean() < 1


def test_diffusers_reads_the_stand_in_and_writes_the_same(tmp_path: Path) -> None:
    network = diffusers_class().from_pretrained(STANDIN)
    network.save_pretrained(tmp_path)
    assert (tmp_path / WEIGHTS).read_bytes() == (STANDIN / WEIGHTS).read_bytes()
    theirs, ours = (json.loads((f / CONFIG).read_text()) for f in (tmp_path, STANDIN))
    assert {key: theirs[key] for key in ours} == ours


def test_names_and_shapes_are_those_of_diffusers() -> None:
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


def test_stable_diffusions_autoencoder_has_84_million_parameters() -> None:
    shapes = tensor_shapes(STABLE_DIFFUSION).values()
    assert sum(int(np.prod(shape)) for shape in shapes) == 83_653_863
    assert STABLE_DIFFUSION.factor == 8


def test_a_pipelines_folder_holds_the_autoencoder_in_its_folder_vae(tmp_path: Path) -> None:
    copied(tmp_path / "vae")
    assert fingerprint(read_autoencoder(tmp_path)) == fingerprint(read_autoencoder(STANDIN))


@pytest.mark.parametrize("change", [old_names, lambda tensors: old_names(pointwise(tensors))])
def test_old_names_of_attention_are_read(tmp_path: Path, change: Any) -> None:
    folder = with_tensors(tmp_path / "old", change)
    assert fingerprint(read_autoencoder(folder)) == fingerprint(read_autoencoder(STANDIN))


def test_diffusers_reads_old_names_to_the_same(tmp_path: Path) -> None:
    folder = with_tensors(tmp_path / "old", old_names)
    theirs = diffusers_class().from_pretrained(folder).state_dict()
    ours = read_autoencoder(folder).tensors
    assert theirs.keys() == ours.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(theirs[name].numpy(), array)


def test_the_published_configuration_is_read(tmp_path: Path) -> None:
    """It was written before diffusers had the keys that are absent here."""
    about = {
        "_class_name": "AutoencoderKL",
        "_diffusers_version": "0.4.2",
        "act_fn": "silu",
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "in_channels": 3,
        "latent_channels": 4,
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "out_channels": 3,
        "sample_size": 256,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
    }
    (copied(tmp_path / "a") / CONFIG).write_text(json.dumps(about))
    message = refused(tmp_path / "a")  # the weights are the stand-in's
    assert "encoder.conv_in.weight" in message
    assert "is (4, 3, 3, 3), expected (128, 3, 3, 3)" in message


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_half_precision_are_read_as_float32(tmp_path: Path, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save

    tensors = load_file(STANDIN / WEIGHTS)
    half = {name: torch.from_numpy(a).to(getattr(torch, dtype)) for name, a in tensors.items()}
    save(half, copied(tmp_path / "half") / WEIGHTS)
    read = read_autoencoder(tmp_path / "half").tensors
    for name, array in read.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, half[name].float().numpy())


def test_another_tensor_or_configuration_has_another_fingerprint() -> None:
    one = random_autoencoder(SIZES, 0)
    other = {**one.tensors, "quant_conv.bias": one.tensors["quant_conv.bias"] + np.float32(1)}
    groups = SIZES.model_copy(update={"norm_num_groups": 2})
    prints = {
        fingerprint(a) for a in (one, one._replace(tensors=other), Autoencoder(groups, one[1]))
    }
    assert len(prints) == 3
    assert fingerprint(random_autoencoder(SIZES, 0)) in prints


# What cannot be read

GET = "from huggingface.co/stabilityai/sd-vae-ft-mse"


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    where = f"get {CONFIG} and {WEIGHTS} {GET}"
    assert refused(tmp_path / "no") == f"{tmp_path / 'no'} does not exist: {where}"
    path = copied(tmp_path / "a") / WEIGHTS
    assert refused(path) == f"{path} is no folder: {where}"


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named_with_where_to_get_it(tmp_path: Path, name: str) -> None:
    path = copied(tmp_path / "a") / name
    path.unlink()
    expected = f"{path} cannot be read (No such file or directory): get {name} {GET}"
    assert refused(tmp_path / "a") == expected


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
@pytest.mark.parametrize(
    "page", ["<!DOCTYPE html><html>", "\n <html lang=en>", "<?xml version='1.0'?>"]
)
def test_a_web_page_in_the_place_of_a_file_is_called_so(
    tmp_path: Path, name: str, page: str
) -> None:
    path = copied(tmp_path / "a") / name
    path.write_text(f"{page} <body>Access denied</body>" + " " * 5000)
    expected = f"{path} is a web page, not the file itself: get {name} {GET}"
    assert refused(tmp_path / "a") == expected


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_pointer_of_git_lfs_is_called_so(tmp_path: Path, name: str) -> None:
    path = copied(tmp_path / "a") / name
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:a1\nsize 334643276\n")
    message = refused(tmp_path / "a")
    assert message.startswith(f"{path} is a Git LFS pointer, not the file, which git lfs pull")


@pytest.mark.parametrize("size", [0, 7, 1000, -1])
def test_weights_that_were_cut_short_are_refused(tmp_path: Path, size: int) -> None:
    path = copied(tmp_path / "a") / WEIGHTS
    path.write_bytes(path.read_bytes()[:size])
    message = refused(tmp_path / "a")
    assert message.startswith(f"{path} cannot be read (")
    assert message.endswith(f"), it may have been cut short: get {WEIGHTS} {GET}")


def test_weights_that_are_a_pickle_alone_are_refused(tmp_path: Path) -> None:
    path = copied(tmp_path / "a") / WEIGHTS
    path.rename(path.with_suffix(".bin"))
    message = refused(tmp_path / "a")
    assert "has its weights as diffusion_pytorch_model.bin alone, a pickle" in message
    assert f"get {WEIGHTS} {GET}, or let diffusers convert it" in message


@pytest.mark.parametrize("content", ["", "[]", "{", "3", "{}", '"AutoencoderKL"', "[" * 100_000])
def test_a_configuration_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    path = copied(tmp_path / "a") / CONFIG
    path.write_text(content)
    message = refused(tmp_path / "a")
    assert message.startswith(f"{path} cannot be read (")
    assert message.endswith(f": get {CONFIG} {GET}")


def test_the_configuration_of_another_class_is_refused(tmp_path: Path) -> None:
    message = refused(with_config(tmp_path / "a", _class_name="UNet2DConditionModel"))
    assert "is the configuration of UNet2DConditionModel, expected AutoencoderKL: get" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers_per_block", 0),
        ("layers_per_block", "two"),
        ("layers_per_block", 1.5),
        ("latent_channels", True),
        ("block_out_channels", [4, -4, 8, 8]),
        ("block_out_channels", []),
        ("block_out_channels", 4),
        ("norm_num_groups", {}),
    ],
)
def test_sizes_that_are_none_are_refused(tmp_path: Path, key: str, value: object) -> None:
    message = refused(with_config(tmp_path / "a", **{key: value}))
    assert message.startswith(key)
    assert f"in {tmp_path / 'a' / CONFIG} is " in message
    assert "expected " in message


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("act_fn", "mish", "'silu'"),
        ("mid_block_add_attention", False, "True"),
        ("use_quant_conv", False, "True"),
        ("use_post_quant_conv", False, "True"),
        ("scaling_factor", 0.13025, "0.18215"),
        ("shift_factor", 0.0609, "None"),
        ("latents_mean", [0.1], "None"),
        ("latents_std", [0.1], "None"),
        ("down_block_types", ["DownEncoderBlock2D"] * 3, "['DownEncoderBlock2D', "),
        ("up_block_types", ["AttnUpDecoderBlock2D"] * 4, "['UpDecoderBlock2D', "),
        ("up_block_types", None, "['UpDecoderBlock2D', "),
    ],
)
def test_networks_of_another_kind_are_refused(
    tmp_path: Path, key: str, value: object, expected: str
) -> None:
    message = refused(with_config(tmp_path / "a", **{key: value}))
    assert message.startswith(f"{key} in {tmp_path / 'a' / CONFIG} is {value or 'absent'!r}"[:60])
    assert f", expected {expected}" in message
    assert "only autoencoders of the kind of Stable Diffusion 1 and 2 are read" in message


def test_groups_that_do_not_divide_the_width_are_refused(tmp_path: Path) -> None:
    message = refused(with_config(tmp_path / "a", norm_num_groups=3))
    assert "holds 4, expected a multiple of norm_num_groups, which is 3" in message


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("decoder.conv_in.weight", None, "lacks the tensor decoder.conv_in.weight (8, 4, 3, 3)"),
        ("extra", np.zeros(3, np.float32), "holds the tensor extra, which the network"),
        ("decoder.conv_in.bias", np.zeros(7, np.float32), "is (7,), expected (8,): are"),
        ("decoder.conv_in.bias", np.zeros(8, np.int32), "is int32, expected floating-point"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    tmp_path: Path, name: str, array: np.ndarray | None, says: str
) -> None:
    def change(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = tensors | {name: array}
        return {key: value for key, value in given.items() if value is not None}

    message = refused(with_tensors(tmp_path / "a", change))
    assert name in message
    assert says in message


# The texts


def test_both_frameworks_give_what_the_reference_gives(subject: ModuleType) -> None:
    if subject.__name__.endswith("torch"):
        pytest.importorskip("diffusers")
    autoencoder = read_autoencoder(STANDIN)
    expected = answers(reference, autoencoder, 32)
    for one, other in zip(answers(subject, autoencoder, 32), expected, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-5)


def test_an_image_that_is_encoded_and_decoded_has_its_shape_again(subject: ModuleType) -> None:
    if subject.__name__.endswith("torch"):
        pytest.importorskip("diffusers")
    model = subject.load_autoencoder(read_autoencoder(STANDIN))
    mean, std = subject.encode(model, subject.put(images(1, 16, 40, 3)))
    assert mean.shape == std.shape == (1, 2, 5, 4)
    assert subject.decode(model, mean).shape == (1, 16, 40, 3)
    assert subject.get(std).min() > 0


@pytest.mark.parametrize("shape", [(16, 16, 3), (1, 16, 12, 3), (1, 12, 16, 3), (1, 3, 16, 16)])
def test_images_of_another_shape_are_refused(subject: ModuleType, shape: tuple[int, ...]) -> None:
    if subject.__name__.endswith("torch"):
        pytest.importorskip("diffusers")
    model = subject.load_autoencoder(read_autoencoder(STANDIN))
    expected = r"expected \(batch, height, width, 3\) with sides that are multiples of 8"
    with pytest.raises(ValueError, match=expected):
        subject.encode(model, subject.put(images(*shape)))
    with pytest.raises(ValueError, match=r"expected \(batch, height, width, 4\)"):
        subject.decode(model, subject.put(images(*shape)))


def test_loading_draws_no_random_numbers() -> None:
    pytest.importorskip("diffusers")
    import torch

    from impls import meanflow_torch

    before = torch.get_rng_state()
    meanflow_torch.load_autoencoder(read_autoencoder(STANDIN))
    assert torch.equal(before, torch.get_rng_state())


def test_pytorch_without_the_autoencoder_loads_no_diffusers() -> None:
    pytest.importorskip("torch")
    script = "import sys\nfrom impls import meanflow_torch\nprint('diffusers' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.slow
@pytest.mark.parametrize(
    "side",
    [64, pytest.param(256, marks=pytest.mark.soak("repetitions", of="side", share=None))],
)
def test_jax_gives_what_diffusers_gives_at_full_size(side: int) -> None:
    pytest.importorskip("diffusers")
    jax = pytest.importorskip("impls.meanflow_jax")
    torch = pytest.importorskip("impls.meanflow_torch")
    autoencoder = random_autoencoder(STABLE_DIFFUSION, 0)
    one, other = (answers(subject, autoencoder, side) for subject in (jax, torch))
    for what, ours, theirs in zip(("mean", "deviation", "image"), one, other, strict=True):
        assert np.abs(ours - theirs).max() <= 3e-5 * np.abs(theirs).max(), what
