"""Inception's features: full size, against the original's own code, from either file."""

import hashlib
import importlib
import importlib.util
import io
import sys
import warnings
import zipfile

import numpy as np
import pytest
from refusals import refusal

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
    TRUSTED,
    InceptionError,
    clean_resize,
    read_inception,
)
from impls.files.inception_layers import tensor_names
from verify.checks.inception import STANDIN
from verify.compare import relative_error

torch = pytest.importorskip("torch")
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
    return subject.get(subject.inception_features(model, subject.put(images), mode))


def channels_first(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def original():
    """The real architecture at its real size, with random weights."""
    return random_inception()


@pytest.fixture(scope="module")
def full_size(original, tmp_path_factory):
    """From a TorchScript file of the real layout."""
    path = tmp_path_factory.mktemp("inception") / "full.pt"
    weights = read_inception(write_inception(original, path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TRUSTED, weights.sha256)
        yield weights


@pytest.fixture(scope="module")
def standin():
    return read_inception(STANDIN)


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
        assert relative_error(found, expected[mode]) < ROUNDING, mode


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
    assert clean_resize(images[:0]).shape == (0, SIDE, SIDE, 3)


def test_inception_score_is_that_of_the_probabilities_of_the_original(standin):
    images = picture(12, 40, 40)
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):  # TorchScript is deprecated
        original = torch.jit.load(STANDIN)
        p = original(channels_first(images), no_output_bias=True).double().numpy()
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
    state = {tensor_names()[name]: tensor for name, tensor in original.state_dict().items()}
    for name in [name for name in state if name.endswith(".bn.bias")]:
        normal = draws.normal(tuple(state[name].shape), 2, Stream.CHECK, draws.name_index(name))
        state[name.replace("bias", "weight")] = torch.from_numpy(1 + 0.1 * normal)
    # clean-fid calls torchvision as of old, which warns.
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(action="ignore"):
        patch.setattr(blocks, "load_state_dict_from_url", lambda *_, **__: state)
        network = blocks.InceptionV3([3], resize_input=False, normalize_input=False).eval()
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
        assert relative_error(features(subject, weights, images, mode), expected) < ROUNDING


def pytorch_fid_state(tensors):
    """The names that pytorch-fid has for them."""
    return {theirs: torch.from_numpy(tensors[ours]) for ours, theirs in tensor_names().items()}


@pytest.mark.parametrize("zipped", [True, False])  # before PyTorch 1.6 files were no archives
def test_both_files_of_the_same_network_are_read_as_the_same(tmp_path, standin, zipped):
    state = pytorch_fid_state(standin.tensors)
    torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    found = read_inception(tmp_path / "x.pth")
    cleanfid("features")
    with pytest.raises(UserError, match=r"x\.pth holds an Inception of other widths"):
        importlib.import_module("impls.meanflow_torch").load_inception(found)
    assert (found.layout, standin.layout) == ("state_dict", "torchscript")
    assert list(found.tensors) == list(standin.tensors)
    for name, array in standin.tensors.items():
        np.testing.assert_array_equal(found.tensors[name], array)


# ------------------------------------------------------------------------------ errors


WHOLE = STANDIN.read_bytes()
MIDDLE = len(WHOLE) // 2
DAMAGED = WHOLE[:MIDDLE] + bytes([WHOLE[MIDDLE] ^ 255]) + WHOLE[MIDDLE + 1 :]
SHA256 = hashlib.sha256(WHOLE).hexdigest()


def saved(made):
    content = io.BytesIO()
    torch.save(made, content)
    return content.getvalue()


def scripted():
    content = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # TorchScript is deprecated
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), content)
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.pt", None, "get inception-2015-12-05.pt from https://nvlabs-fi-cdn.nvidia.com/"),
        ("x.pt", None, "(95607719 bytes, SHA-256 f58cb9b6…) or pt_inception-2015-12-05-6726825d"),
        ("x.pt", b"\n<!DOCTYPE html><html>", "is a web page, not the file itself: get"),
        ("x.pt", b"", "is empty"),
        ("x.pt", WHOLE[: MIDDLE // 5], "cannot be read"),
        ("x.pt", WHOLE[:MIDDLE], "cannot be read"),
        ("x.pt", WHOLE[:-100], "cannot be read"),
        ("x.pt", DAMAGED, "cannot be read"),
        ("x.pt", scripted(), "is not FID's Inception: it holds neither layers.conv.weight"),
        ("x.pth", saved(torch.nn.Linear(2, 2).state_dict()), "nor Conv2d_1a_3x3"),
        ("x.pth", saved([1, 2]), "is not FID's Inception"),
        ("inception-2015-12-05.pt", WHOLE, f"has the SHA-256 {SHA256}, expected"),
        ("pt_inception-2015-12-05-6726825d.pth", WHOLE, f"has the SHA-256 {SHA256}, expected"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_file_that_is_none_is_said(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    message = refusal(UserError, read_inception, tmp_path / name)
    assert says in message
    assert str(tmp_path / name) in message


@pytest.fixture
def unknown(tmp_path):
    """The stand-in as another file, as anybody could write one with other code in it."""
    path = tmp_path / "anything.pt"
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as given, zipfile.ZipFile(path, "w") as made:
        for info in given.infolist():
            made.writestr(info, given.read(info))
        made.comment = b"other"
    return path


def test_no_code_of_an_unknown_torchscript_file_runs_unless_its_hash_is_named(unknown, monkeypatch):
    from impls import meanflow_torch

    cleanfid("features")
    weights = read_inception(unknown)
    monkeypatch.setattr(torch.jit, "load", lambda *_: pytest.fail("its code could run"))
    for named in (None, "", SHA256, weights.sha256[:-1]):
        if named is not None:
            monkeypatch.setenv(TRUSTED, named)
        said = refusal(InceptionError, meanflow_torch.load_inception, weights)
        assert f"set {TRUSTED}={weights.sha256}, else use --framework jax" in said
        assert str(unknown) in said
    monkeypatch.undo()
    monkeypatch.setenv(TRUSTED, f"{SHA256}, {weights.sha256.upper()}")
    found = features(meanflow_torch, weights, picture(1, 9, 9), LEGACY)
    expected = features(meanflow_torch, read_inception(STANDIN), picture(1, 9, 9), LEGACY)
    np.testing.assert_array_equal(found, expected)


def test_a_torchscript_file_that_changes_after_it_was_read_is_not_run(unknown, monkeypatch):
    from impls import meanflow_torch

    cleanfid("features")
    weights = read_inception(unknown)
    monkeypatch.setenv(TRUSTED, weights.sha256)
    monkeypatch.setattr(torch.jit, "load", lambda *_: pytest.fail("its code could run"))
    unknown.write_bytes(scripted())
    said = refusal(InceptionError, meanflow_torch.load_inception, weights)
    assert "has changed since it was read" in said


def test_numbers_of_an_unknown_torchscript_file_are_read_without_its_code(unknown):
    pytest.importorskip("jax")
    jax_text = importlib.import_module("impls.meanflow_jax")
    images = picture(1, 9, 9)
    found = features(jax_text, read_inception(unknown), images, LEGACY)
    np.testing.assert_array_equal(
        found, features(jax_text, read_inception(STANDIN), images, LEGACY)
    )


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("layers.mixed_1.tower.conv_1.weight", lambda x: x[..., 1:4, 1:4], "(4, 3, 3, 3), exp"),
        ("layers.mixed_4.conv.weight", lambda x: x[:, 1:], "(12, 47, 1, 1), expected (12, 48, 1"),
        ("layers.mixed_9.tower_conv.weight", lambda x: x[1:], "beta in"),
        ("layers.conv.beta", lambda x: x[1:], "has shape (1,), expected (2,)"),
        ("output.weight", lambda x: x[:, 1:], "has shape (24, 127), expected (24, 128)"),
        ("output.bias", lambda x: x[0], "has shape (), expected"),
        ("layers.mixed_8.tower.conv.var", lambda x: x / 0, "layers.mixed_8.tower.conv.var in"),
    ],
)
def test_tensor_of_another_shape_or_not_finite_is_said(tmp_path, standin, name, change, said):
    tensors = standin.tensors | {name: change(torch.from_numpy(standin.tensors[name])).numpy()}
    torch.save(pytorch_fid_state(tensors), tmp_path / "x.pth")
    message = refusal(UserError, read_inception, tmp_path / "x.pth")
    assert said in message
    assert name.endswith(".var") or "another network" in message


@pytest.mark.parametrize(
    ("axes", "mode", "says"),
    [
        ((0, 1, 2, 3), "cleen", "mode is cleen, expected .*did you mean clean"),
        ((0, 3, 1, 2), LEGACY, r"shape \(1, 3, 9, 9\), expected \[n, height, width, 3\]"),
    ],
)
def test_unknown_mode_and_images_of_another_shape_are_refused(subject, standin, axes, mode, says):
    cleanfid("features")
    with pytest.raises(ValueError, match=says):
        features(subject, standin, picture(1, 9, 9).transpose(axes), mode)


@pytest.mark.parametrize("missing", ["cleanfid", "torchvision"])
def test_missing_package_is_said_with_how_to_get_it(monkeypatch, standin, missing):
    from impls import meanflow_torch

    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(NotInstalledError, match=rf'{missing}.* is not installed.*-e "\.\[fid\]"'):
        meanflow_torch.load_inception(standin)
