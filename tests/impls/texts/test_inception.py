"""Inception's features: full size, against the original's own code, from either file."""

import hashlib
import importlib
import importlib.util
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import reference
from impls.common import draws
from impls.common.draws import Stream
from impls.common.errors import NotInstalledError, UserError
from impls.fid.scores import inception_score, score_sums
from impls.files.inception import (
    CLEAN,
    LEGACY,
    MODES,
    SIDE,
    clean_resize,
    read_inception,
)
from impls.files.inception_layers import tensor_names
from verify.checks.inception import STANDIN

torch: Any = pytest.importorskip("torch")
from impls.meanflow_torch.vision.torchvision_operators import import_torchvision  # noqa: E402
from verify.fixtures.inception_module import (  # noqa: E402
    random_inception,
    write_inception,
)

PILLOW = "ignore:'mode' parameter is deprecated"  # clean-fid's own call
# Float32 over 94 layers, and of the places of pixels; relative to the largest feature.
ROUNDING = 5e-5


def cleanfid(module):
    if not importlib.util.find_spec("cleanfid"):
        pytest.skip("clean-fid is not installed")
    import_torchvision()
    return importlib.import_module(f"cleanfid.{module}")


def picture(count, height, width):
    """uint8 images with something to see: waves and noise."""
    y, x = np.mgrid[:height, :width] / 20.0
    number = np.arange(1, count + 1)[:, None, None, None] + np.arange(3) / 3
    waves = np.sin(y[None, ..., None] * number) + np.cos(x[None, ..., None] / number)
    noise = draws.uniform((count, height, width, 3), 1, Stream.CHECK)
    return (waves * 40 + 90 + noise * 70).clip(0, 255).astype(np.uint8)


def features(subject, weights, images, mode):
    model = subject.load_inception(weights)
    found: np.ndarray = subject.get(subject.inception_features(model, subject.put(images), mode))
    return found


def channels_first(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def error(found, expected):
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.fixture(scope="module")
def original():
    """The real architecture at its real size, with random weights."""
    return random_inception()


@pytest.fixture(scope="module")
def full_size(original, tmp_path_factory):
    """From a TorchScript file of the real layout."""
    path = tmp_path_factory.mktemp("inception") / "full.pt"
    return read_inception(write_inception(original, path))


@pytest.fixture(scope="module")
def standin():
    return read_inception(STANDIN)


@pytest.fixture(scope="module")
def torch_standin():
    with warnings.catch_warnings(action="ignore"):  # TorchScript is deprecated
        return torch.jit.load(STANDIN)


# ------------------------------------------------------------------ against the original


@pytest.mark.parametrize("size", [(64, 96), (299, 299), (400, 310)])
def test_full_size_features_of_both_texts_are_those_of_the_original(
    subject, original, full_size, size
):
    cleanfid("features")
    assert full_size.num_features == 2048
    images = picture(2, *size)
    with torch.no_grad():
        expected = {LEGACY: original(channels_first(images), return_features=True).numpy()}
        x = channels_first(clean_resize(images))
        expected[CLEAN] = original.layers((x - 128) / 128).flatten(1).numpy()
    for mode in MODES:
        found = features(subject, full_size, images, mode)
        assert found.dtype == np.float32
        assert error(found, expected[mode]) < ROUNDING, mode


@pytest.mark.parametrize("mode", MODES)
def test_full_size_features_of_the_reference_are_those_of_the_original(original, full_size, mode):
    images = picture(1, 80, 60)
    resized = images if mode == LEGACY else clean_resize(images)
    with torch.no_grad():
        expected = original(channels_first(resized), return_features=True).numpy()
    assert error(features(reference, full_size, images, mode), expected) < ROUNDING


@pytest.mark.filterwarnings(PILLOW, "ignore:.torch.jit.load. is deprecated")
@pytest.mark.parametrize("mode", MODES)
def test_torch_features_are_those_of_clean_fid_every_bit(full_size, mode, tmp_path):
    from impls import meanflow_torch

    cleanfid("fid")
    (tmp_path / "inception-2015-12-05.pt").symlink_to(full_size.path)
    wrapper = cleanfid("inception_torchscript").InceptionV3W
    network = wrapper(str(tmp_path), download=False, resize_inside=mode == LEGACY)
    images = picture(3, 40, 50)
    resize = cleanfid("resize").build_resizer(mode)
    resized = np.stack([resize(image) for image in images]).astype(np.float32)
    x = torch.from_numpy(resized.transpose(0, 3, 1, 2).copy())
    expected = cleanfid("fid").get_batch_features(x, network, torch.device("cpu"))
    found = features(meanflow_torch, full_size, images, mode)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.filterwarnings(PILLOW)
@pytest.mark.parametrize("size", [(32, 32), (299, 299), (256, 256), (500, 333)])
def test_clean_resize_is_that_of_clean_fid_every_bit(size):
    images = picture(2, *size)
    resize = cleanfid("resize").build_resizer("clean")
    expected = np.stack([resize(image) for image in images])
    found = clean_resize(images)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(clean_resize(images.astype(np.float64)), expected)


def test_clean_resize_of_no_images_is_no_image():
    assert clean_resize(np.zeros((0, 20, 20, 3), np.uint8)).shape == (0, SIDE, SIDE, 3)


@pytest.mark.parametrize("mode", MODES)
def test_features_do_not_depend_on_the_batch(subject, standin, mode):
    cleanfid("features")
    images = picture(3, 30, 40)
    whole = features(subject, standin, images, mode)
    single = np.concatenate([features(subject, standin, images[k : k + 1], mode) for k in range(3)])
    assert error(single, whole) < 1e-6


def test_torch_resizes_as_the_file_does(original):
    """Only in float64 does the text resize for itself: the file's own code is float32 inside."""
    from impls.meanflow_torch.vision import inception

    cleanfid("features")
    x = channels_first(picture(2, 70, 90))
    with torch.no_grad():
        found = original.layers((inception._resize(x.double()).float() - 128) / 128).flatten(1)
        expected = original(x, return_features=True)
    assert error(found.numpy(), expected.numpy()) < ROUNDING


def test_inception_score_is_that_of_the_probabilities_of_the_original(standin, torch_standin):
    images = picture(12, 40, 40)
    with torch.no_grad():
        p = torch_standin(channels_first(images), no_output_bias=True).double().numpy()
    split = [part * (np.log(part) - np.log(part.mean(0))) for part in (p[:6], p[6:])]
    expected = [np.exp(divergence.sum(1).mean()) for divergence in split]
    found = features(reference, standin, images, LEGACY)
    score = inception_score(score_sums(found, standin.tensors["output.weight"], 0, 12, 2))
    assert min(expected) > 1.0001  # the classes differ between the images
    assert score == pytest.approx((np.mean(expected), np.std(expected)), rel=1e-5, abs=1e-6)


# -------------------------------------------------------------------- the other file


@pytest.fixture(scope="module")
def pytorch_fid(original, tmp_path_factory):
    """clean-fid's copy of pytorch-fid's network with random weights, and its file."""
    blocks = cleanfid("inception_pytorch")
    state: dict[str, Any] = {}

    def random_state(*_, **__):
        for ours, tensor in original.state_dict().items():
            state[tensor_names()[ours]] = tensor.clone()
        for name in [name for name in state if name.endswith(".bn.bias")]:
            normal = draws.normal(tuple(state[name].shape), 2, Stream.CHECK, draws.name_index(name))
            state[name.replace("bias", "weight")] = torch.from_numpy(1 + 0.1 * normal)
        return state

    before, blocks.load_state_dict_from_url = blocks.load_state_dict_from_url, random_state
    try:
        with warnings.catch_warnings(action="ignore"):  # clean-fid calls torchvision as of old
            network = blocks.InceptionV3([3], resize_input=False, normalize_input=False).eval()
    finally:
        blocks.load_state_dict_from_url = before
    path = tmp_path_factory.mktemp("inception") / "x.pth"
    torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return network, path.rename(path.with_name(f"pt_inception-2015-12-05-{digest[:8]}.pth"))


def test_features_of_the_file_of_pytorch_fid_are_those_of_its_network(subject, pytorch_fid):
    from impls.meanflow_torch.vision.inception import _resize

    network, path = pytorch_fid
    weights = read_inception(path)
    images = picture(2, 100, 70)
    small = _resize(channels_first(images).float())
    for mode, x in ((CLEAN, channels_first(clean_resize(images))), (LEGACY, small)):
        with torch.no_grad():
            expected = network((x - 128) / 128)[0].flatten(1).numpy()
        assert error(features(subject, weights, images, mode), expected) < ROUNDING


@pytest.mark.parametrize("zipped", [True, False])  # before PyTorch 1.6 files were no archives
def test_both_files_of_the_same_network_are_read_as_the_same(tmp_path, standin, zipped):
    state = {theirs: standin.tensors[ours] for ours, theirs in tensor_names().items()}
    state = {name: torch.from_numpy(array) for name, array in state.items()}
    torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    found = read_inception(tmp_path / "x.pth")
    cleanfid("features")
    with pytest.raises(UserError, match=r"x\.pth holds an Inception of other widths"):
        importlib.import_module("impls.meanflow_torch").load_inception(found)
    assert (found.layout, standin.layout) == ("state_dict", "torchscript")
    assert list(found.tensors) == list(standin.tensors)
    for name, array in standin.tensors.items():
        np.testing.assert_array_equal(found.tensors[name], array)


def test_tensors_are_those_that_torch_reads(standin, torch_standin):
    expected = torch_standin.state_dict()
    assert standin.tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(standin.tensors[name], tensor.numpy())
    assert standin.sha256 == hashlib.sha256(STANDIN.read_bytes()).hexdigest()


# ------------------------------------------------------------------------------ errors


def refusal(path):
    with pytest.raises(UserError) as caught:
        read_inception(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def scripted(path, module):
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.script(module.eval()).save(str(path))
    return path


def test_missing_file_is_said_with_where_to_get_it(tmp_path):
    message = refusal(tmp_path / "none.pt")
    for part in (
        "there is no Inception file", "nvlabs-fi-cdn.nvidia.com",
        "95607719 bytes, SHA-256 f58cb9b6", "6726825d",
    ):  # fmt: skip
        assert part in message


WHOLE = STANDIN.read_bytes()
MIDDLE = len(WHOLE) // 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\n<!DOCTYPE html><html>sign in</html>", "is a web page, not the file itself: get"),
        (b"", "is empty"),
        *((WHOLE[: int(share * len(WHOLE))], "cannot be read") for share in (0.1, 0.5, 0.999)),
        (WHOLE[:MIDDLE] + bytes([WHOLE[MIDDLE] ^ 255]) + WHOLE[MIDDLE + 1 :], "cannot be read"),
    ],
    ids=["web page", "empty", "a tenth", "half", "cut short", "damaged"],
)
def test_file_that_is_none_is_said(tmp_path, content, says):
    (tmp_path / "x.pt").write_bytes(content)
    assert says in refusal(tmp_path / "x.pt")


def test_another_network_is_said(tmp_path):
    scripted(tmp_path / "x.pt", torch.nn.Sequential(torch.nn.Linear(2, 2)))
    message = refusal(tmp_path / "x.pt")
    assert "is no Inception of FID: it holds neither layers.conv.weight" in message
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "x.pth")
    assert "holds neither layers.conv.weight nor Conv2d_1a_3x3" in refusal(tmp_path / "x.pth")
    torch.save([1, 2], tmp_path / "y.pth")
    assert "is no Inception of FID" in refusal(tmp_path / "y.pth")


def changed(tmp_path, name, change):
    """The stand-in, as a state_dict, with another tensor."""
    tensors = read_inception(STANDIN).tensors
    state = {theirs: torch.from_numpy(tensors[ours]) for ours, theirs in tensor_names().items()}
    state[tensor_names()[name]] = change(state[tensor_names()[name]])
    torch.save(state, tmp_path / "x.pth")
    return tmp_path / "x.pth"


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("layers.mixed_1.tower.conv_1.weight", lambda x: x[..., 1:4, 1:4], "(4, 3, 3, 3), exp"),
        ("layers.mixed_4.conv.weight", lambda x: x[:, 1:], "(12, 47, 1, 1), expected (12, 48, 1"),
        ("layers.mixed_9.tower_conv.weight", lambda x: x[1:], "beta in"),
        ("layers.conv.beta", lambda x: x[1:], "has shape (1,), expected (2,)"),
        ("output.weight", lambda x: x[:, 1:], "has shape (24, 127), expected (24, 128)"),
        ("output.bias", lambda x: x[0], "has shape (), expected"),
    ],
)
def test_tensor_of_another_shape_is_said(tmp_path, name, change, said):
    message = refusal(changed(tmp_path, name, change))
    assert said in message
    assert "another network" in message


def test_number_that_is_not_finite_is_said(tmp_path):
    path = changed(tmp_path, "layers.mixed_8.tower.conv.var", lambda x: x / 0)
    assert "layers.mixed_8.tower.conv.var in" in refusal(path)


@pytest.mark.parametrize(
    "name", ["inception-2015-12-05.pt", "pt_inception-2015-12-05-6726825d.pth"]
)
def test_file_whose_name_promises_another_hash_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(STANDIN.read_bytes())
    digest = hashlib.sha256(STANDIN.read_bytes()).hexdigest()
    assert f"has the SHA-256 {digest}, expected" in refusal(tmp_path / name)


def test_unknown_mode_is_refused(subject, standin):
    cleanfid("features")
    with pytest.raises(UserError, match=r"mode is cleen, expected .*did you mean clean"):
        features(subject, standin, picture(1, 9, 9), "cleen")


def test_images_of_another_shape_are_refused(subject, standin):
    cleanfid("features")
    with pytest.raises(ValueError, match=r"shape \(1, 3, 9, 9\), expected \[n, height, width, 3\]"):
        features(subject, standin, picture(1, 9, 9).transpose(0, 3, 1, 2), LEGACY)


@pytest.mark.parametrize("missing", ["cleanfid", "torchvision"])
def test_missing_package_is_said_with_how_to_get_it(monkeypatch, standin, missing):
    from impls import meanflow_torch

    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(NotInstalledError, match=rf'{missing}.* is not installed.*-e "\.\[fid\]"'):
        meanflow_torch.load_inception(standin)


def test_importing_the_package_loads_neither_clean_fid_nor_diffusers():
    code = "import sys, impls.meanflow_torch; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"cleanfid", "torchvision", "diffusers"}
