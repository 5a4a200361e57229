"""Reference statistics: files of both layouts, folders of images, resuming, several processes."""

import io

import numpy as np
import pytest
from PIL import Image
from refusals import refusal

import impls.fid.image_folder
import reference
from impls.common import draws
from impls.common.draws import Stream
from impls.data.folder import centre_crop
from impls.fid.extraction import extractor
from impls.fid.image_folder import folder_statistics
from impls.fid.statistics import (
    Statistics,
    StatisticsError,
    load_statistics,
    save_statistics,
)
from impls.files.inception import CLEAN, LEGACY, MODES, read_inception
from meanflow_repro import main
from reference import frechet
from verify.checks.inception import STANDIN

SIZE = 24


def normal(*shape):
    return draws.normal(shape, 4, Stream.CHECK).astype(np.float64)


def some(size=5):
    mean, covariance = frechet.moments(normal(40, size))
    return Statistics(mean, covariance, 40, CLEAN, "abc")


@pytest.fixture(scope="module")
def weights():
    return read_inception(STANDIN)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """20 images of several sizes and kinds, in folders."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(20):
        shape = (SIZE + number, 30, 3)
        pixels = (draws.uniform(shape, 4, Stream.CHECK, number) * 256).astype(np.uint8)
        image = Image.fromarray(pixels)
        path = folder / f"class_{number % 3}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        (image.convert("L") if number == 7 else image).save(path)
    return folder


@pytest.fixture(scope="module")
def expected(images, weights):
    """Mean and covariance of their features, in either mode."""
    paths = sorted(images.rglob("*.png"))
    cropped = np.stack([centre_crop(Image.open(path).convert("RGB"), SIZE) for path in paths])
    return {
        mode: frechet.moments(reference.inception_features(weights.tensors, cropped, mode))
        for mode in MODES
    }


def close(found, mean, covariance):
    np.testing.assert_allclose(found.mean, mean, rtol=1e-5, atol=1e-5 * np.abs(mean).max())
    scale = np.abs(covariance).max()
    np.testing.assert_allclose(found.covariance, covariance, rtol=0, atol=1e-3 * scale)


# ---------------------------------------------------------------------------------- files


def test_saved_statistics_are_read_bit_for_bit(tmp_path):
    save_statistics(tmp_path / "new" / "x.npz", some())
    found = load_statistics(tmp_path / "new" / "x.npz", 5)
    np.testing.assert_array_equal(found.mean, some().mean)
    np.testing.assert_array_equal(found.covariance, some().covariance)
    assert found[2:] == (40, CLEAN, "abc")


@pytest.mark.parametrize("names", [("ref_mu", "ref_sigma"), ("mu", "sigma")])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_both_layouts_are_written_and_either_is_read_as_float64(tmp_path, names, dtype):
    save_statistics(tmp_path / "x.npz", some())
    with np.load(tmp_path / "x.npz") as held:
        arrays = {name: held[name].astype(dtype) for name in names}
    np.savez(tmp_path / "y.npz", arr_0=np.zeros((3, 4, 4, 3), np.uint8), **arrays)
    found = load_statistics(tmp_path / "y.npz")
    np.testing.assert_array_equal(found.covariance, some().covariance.astype(dtype))
    assert {array.dtype for array in found[:2]} == {np.dtype("f8")}
    assert found[2:] == (None, None, None)


def npz(**arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


MEAN, COVARIANCE = some()[:2]
BOTH = {"mu": MEAN, "sigma": COVARIANCE}
EMPTY = {"mu": MEAN[:0], "sigma": COVARIANCE[:0, :0]}
LARGE = np.linalg.eigvalsh(COVARIANCE)[-1]


def with_entry(array, place, value):
    changed = array.copy()
    changed[place] = value
    return changed


def indefinite(share):
    """The covariance with its least eigenvalue at minus a share of the largest."""
    values, vectors = np.linalg.eigh(COVARIANCE)
    values[0] = -share * values[-1]
    return (vectors * values) @ vectors.T


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (npz(mu=MEAN, sigma=COVARIANCE)[:-300], "cannot be read (BadZipFile"),
        (b"  <html>", "is a web page"),
        (b"", "is empty"),
        (b"something else", "cannot be read"),
        (npz(mu=MEAN), "holds neither ref_mu and ref_sigma nor mu and sigma"),
        (npz(mu=MEAN, ref_sigma=COVARIANCE), "holds neither"),
        (npz(mu=MEAN, sigma=COVARIANCE[:4]), "a covariance of (4, 5), expected (5,) and (5, 5)"),
        (npz(mu=MEAN[None], sigma=COVARIANCE), "a mean of shape (1, 5)"),
        (npz(mu=MEAN[:4], sigma=COVARIANCE[:4, :4]), "expected (5,) and (5, 5)"),
        (npz(mu=with_entry(MEAN, 3, np.nan), sigma=COVARIANCE), "holds nan at [3], which is no"),
        (npz(mu=MEAN, sigma=with_entry(COVARIANCE, (1, 2), np.inf)), "holds inf at [1, 2], which"),
        (npz(mu=MEAN, sigma=COVARIANCE * 1e300), "at [0, 0], which is not finite or too large"),
        (npz(mu=MEAN, sigma=with_entry(COVARIANCE, (1, 2), 9)), "symmetric: it holds 9 at [1, 2]"),
        (npz(mu=MEAN, sigma=with_entry(COVARIANCE, (1, 2), COVARIANCE[1, 2] + 1e-3)), "symmetric"),
        (npz(mu=MEAN, sigma=with_entry(COVARIANCE, (4, 4), -0.5)), "variance -0.5 at [4, 4]"),
        (npz(mu=MEAN, sigma=-COVARIANCE), "holds the negative variance -"),
        (
            npz(mu=MEAN, sigma=indefinite(1e-3)),
            f"has the negative eigenvalue {-1e-3 * LARGE:g}, the largest being {LARGE:g}: ",
        ),
        (npz(mu=MEAN, sigma=indefinite(2e-5)), "has the negative eigenvalue -"),
        (npz(**EMPTY), "a mean of shape (0,) and a covariance of (0, 0), expected"),
        (npz(mu=np.array([{}] * 5), sigma=COVARIANCE), "Object arrays cannot be loaded"),
        (npz(mu=MEAN + 0j, sigma=COVARIANCE), "not finite"),
        (npz(**BOTH, ref_mu=MEAN + 1, ref_sigma=COVARIANCE), "holds two means that differ"),
        (npz(**BOTH, ref_mu=MEAN, ref_sigma=2 * COVARIANCE), "holds two covariances that differ"),
        *(
            (npz(**BOTH, num_images=count), "num_images in")
            for count in (-5, 0, 1, 2.5, "many", np.nan, [20, 30], [])
        ),
        (npz(**BOTH, num_images=[20, 30]), "is [20, 30], expected a whole number, 2 or more"),
        (npz(**BOTH, mode="cleen"), "is cleen, expected one of legacy_tensorflow, clean"),
        (npz(**BOTH, inception=3), "inception in"),
        (npz(mu=np.array(["a"] * 5), sigma=COVARIANCE), "not finite"),
    ],
)
def test_files_that_are_no_statistics_are_one_sentence(tmp_path, content, said):
    (tmp_path / "x.npz").write_bytes(content)
    message = refusal(StatisticsError, load_statistics, tmp_path / "x.npz", 5)
    assert said in message
    assert str(tmp_path / "x.npz") in message
    assert "meanflow statistics" in message


def test_empty_statistics_are_refused_of_whichever_number_of_features(tmp_path):
    (tmp_path / "x.npz").write_bytes(npz(**EMPTY))
    said = refusal(StatisticsError, load_statistics, tmp_path / "x.npz")
    assert "expected (features,) and (features, features)" in said


def float32_sums(rows):
    """The covariance by sums of products in float32, less the products of the means."""
    mean = rows.mean(0, dtype=np.float32)
    return rows.T @ rows / np.float32(len(rows)) - np.outer(mean, mean)


COVARIANCES = {
    "float64": lambda rows: np.cov(rows, rowvar=False, dtype=np.float64),
    "stored as float32": lambda rows: np.cov(rows, rowvar=False).astype(np.float32),
    "centred, in float32": lambda rows: np.cov(rows, rowvar=False, dtype=np.float32),
    "summed in float32": float32_sums,
}


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("num_rows", [2, 30, 200])
def test_covariances_of_fewer_images_than_features_are_read(tmp_path, num_rows, kind):
    """They have eigenvalues of 0, and rounding makes some of them negative."""
    rows = np.maximum(normal(num_rows, 256) @ normal(256, 256) / 16, 0).astype(np.float32)
    covariance = COVARIANCES[kind](rows)
    assert np.linalg.eigvalsh(covariance.astype(np.float64))[0] < 0
    np.savez(tmp_path / "x.npz", mu=rows.mean(0), sigma=covariance)
    np.testing.assert_array_equal(load_statistics(tmp_path / "x.npz").covariance, covariance)


def test_statistics_that_are_missing_or_cannot_be_written_are_said(tmp_path):
    missing = refusal(StatisticsError, load_statistics, tmp_path / "none.npz")
    assert "there is no file of statistics" in missing
    (tmp_path / "file").write_text("")
    unwritten = refusal(StatisticsError, save_statistics, tmp_path / "file" / "x.npz", some())
    assert "cannot write to" in unwritten


# ---------------------------------------------------------------------------- of a folder


@pytest.mark.parametrize("mode", MODES)
def test_statistics_of_a_folder_are_those_of_its_features(
    images, weights, expected, tmp_path, mode
):
    found = folder_statistics(reference, weights, images, tmp_path / "x.npz", mode, SIZE, 8)
    close(found, *expected[mode])
    assert found[2:] == (20, mode, weights.sha256)
    np.testing.assert_array_equal(load_statistics(tmp_path / "x.npz").mean, found.mean)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


@pytest.mark.parametrize("num_processes", [2, 3, 25])
def test_statistics_of_several_processes_are_those_of_one(
    images, weights, expected, tmp_path, num_processes
):
    found = []
    for process in range(min(num_processes, 20)):
        options = (LEGACY, SIZE, 2, process, num_processes)
        found.append(folder_statistics(reference, weights, images, tmp_path / "x.npz", *options))
    assert [made is None for made in found[:-1]] == [True] * (len(found) - 1)
    close(found[-1], *expected[LEGACY])
    assert found[-1].num_images == 20


def test_what_was_stopped_goes_on_and_ends_with_the_same_bits(
    images, weights, tmp_path, monkeypatch
):
    monkeypatch.setattr(impls.fid.image_folder, "BLOCK", 6)
    whole = folder_statistics(reference, weights, images, tmp_path / "x.npz", LEGACY, SIZE, 3)
    arguments = (reference, weights, images, tmp_path / "y.npz", LEGACY, SIZE, 3)
    seen = []

    def run(stop_at):
        def make(*args):
            features = extractor(*args)

            def counted(batch):
                if sum(seen) + len(batch) > stop_at:
                    raise KeyboardInterrupt
                seen.append(len(batch))
                return features(batch)

            return counted

        seen.clear()
        monkeypatch.setattr(impls.fid.image_folder, "extractor", make)
        return folder_statistics(*arguments)

    with pytest.raises(KeyboardInterrupt):
        run(15)
    again = run(100)
    assert sum(seen) == 20 - 12
    np.testing.assert_array_equal(again.covariance, whole.covariance)
    assert "y.npz exists already" in refusal(StatisticsError, run, 100)


def test_going_on_with_other_options_is_refused(images, weights, tmp_path):
    output = tmp_path / "x.npz"
    assert folder_statistics(reference, weights, images, output, LEGACY, SIZE, 8, 0, 2) is None
    for mode, size, other in ((CLEAN, SIZE, "mode"), (LEGACY, 20, "image size")):
        given = (reference, weights, images, output, mode, size, 8, 0, 2)
        said = refusal(StatisticsError, folder_statistics, *given)
        assert f"started with another {other}: give the same" in said


def test_features_do_not_depend_on_the_filled_batch(weights):
    pixels = (draws.uniform((7, 20, 20, 3), 4, Stream.CHECK) * 256).astype(np.uint8)
    found = extractor(reference, weights, LEGACY, 4)(pixels)
    direct = reference.inception_features(weights.tensors, pixels, LEGACY)
    np.testing.assert_allclose(found, direct, rtol=1e-4, atol=1e-5)
    assert extractor(reference, weights, LEGACY, 4)(pixels[:0]).shape == (0, 128)


# ---------------------------------------------------------------------------- the command


def test_the_command_writes_the_same_with_either_framework(
    framework, images, expected, tmp_path, capsys
):
    if framework == "torch":
        pytest.importorskip("cleanfid")
    paths = {"images": images, "inception": STANDIN, "output": tmp_path / "x.npz"}
    options = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    options += ["--image-size", str(SIZE), "--batch-size", "8", "--mode", "clean"]
    assert main(["statistics", *options, "--framework", framework, "--device", "cpu"]) == 0
    assert "128 features of 20 images, clean" in capsys.readouterr().out
    close(load_statistics(tmp_path / "x.npz"), *expected[CLEAN])
