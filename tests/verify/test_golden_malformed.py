"""A golden folder that cannot be used is refused in one line that says where it is wrong."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_folders import TRAINED, arrays_of, copy_of, refusal

CASE = "guided"
FILE = f"case_{CASE}.npz"


# -------------------------------------------------------------------------------- cases.json


def test_a_missing_folder_is_named(tmp_path):
    assert str(tmp_path / "nowhere") in refusal(tmp_path / "nowhere")


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refusal(tmp_path / "file")


def test_an_empty_folder_lacks_its_cases(tmp_path):
    assert "cases.json" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"<html>\n</html>", b"\xff\xfe{}", b"{'a': 1}"])
def test_cases_that_are_not_json_are_refused(content, tmp_path):
    folder = copy_of("patch_4", tmp_path)
    (folder / "cases.json").write_bytes(content)
    assert "cases.json" in refusal(folder)


@pytest.mark.parametrize("content", [[], {}, None, 3, "guided", [{"guided": {}}]])
def test_cases_that_are_no_mapping_are_refused(content, tmp_path):
    folder = copy_of("patch_4", tmp_path)
    (folder / "cases.json").write_text(json.dumps(content))
    assert "cases.json" in refusal(folder)
    assert "mapping" in refusal(folder)


Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda case: case.pop("method"), ["method"]),
        (lambda case: case.pop("model"), ["model"]),
        (lambda case: case.update(model=[1, 2]), ["model"]),
        (lambda case: case.update(model=None), ["model"]),
        (lambda case: case.update(method="cfg"), ["method"]),
        (lambda case: case.update(method=None), ["method"]),
        (lambda case: case["method"].update(omaga=1.0), ["method.omaga", "method.omega"]),
        (lambda case: case["method"].update(kappa=1.5), ["method.kappa", "1.5"]),
        (lambda case: case["method"].update(kappa=float("nan")), ["method.kappa", "nan"]),
        (lambda case: case["method"].update(P_std=0), ["method.P_std"]),
        (lambda case: case["method"].update(guidance_eq="cgf"), ["guidance_eq", "cfg"]),
        (lambda case: case["method"].update(t_start=0.9, t_end=0.1), ["method.t_start"]),
        (lambda case: case["model"].pop("depth"), ["depth"]),
        (lambda case: case["model"].update(dpeth=1), ["dpeth", "depth"]),
        (lambda case: case["model"].update(num_heads=5), ["num_heads"]),
        (lambda case: case["model"].update(patch_size=5), ["patch size"]),
        (lambda case: case["model"].update(hidden_size=30, num_heads=3), ["hidden_size"]),
        (lambda case: case["model"].update(depth="deep"), ["depth"]),
        (lambda case: case["model"].update(depth=0), ["depth"]),
        (lambda case: case["model"].update(mlp_ratio=-1), ["mlp_ratio"]),
        (lambda case: case["model"].update(num_classes=None), ["num_classes"]),
    ],
)
def test_a_case_with_wrong_settings_is_refused(change, words, tmp_path):
    folder = copy_of("patch_4", tmp_path)
    cases = json.loads((folder / "cases.json").read_text())
    change(cases[CASE])
    (folder / "cases.json").write_text(json.dumps(cases))
    message = refusal(folder)
    for word in ("cases.json", CASE, *words):
        assert word in message, message


@pytest.mark.parametrize("case", ["text", [], 1, None])
def test_a_case_that_is_no_mapping_is_refused(case, tmp_path):
    folder = copy_of("patch_4", tmp_path)
    (folder / "cases.json").write_text(json.dumps({CASE: case}))
    assert CASE in refusal(folder)


@pytest.mark.parametrize("key", ["depth", "hidden_size", "num_classes", "in_channels"])
def test_sizes_that_do_not_fit_the_parameters_are_refused(key, tmp_path):
    folder = copy_of("patch_4", tmp_path, CASE)
    cases = json.loads((folder / "cases.json").read_text())
    cases[CASE]["model"][key] *= 2
    (folder / "cases.json").write_text(json.dumps(cases))
    assert "params.npz" in refusal(folder)


# ------------------------------------------------------------------------------ files as such


@pytest.mark.parametrize("file", ["params.npz", FILE, f"{TRAINED}.json"])
def test_a_missing_file_is_named(file, tmp_path):
    folder = copy_of("patch_4", tmp_path)
    (folder / file).unlink()
    assert file in refusal(folder)


def _truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _corrupted(path):
    """Compressed members whose bytes are no longer what their checksums say."""
    np.savez_compressed(path, **arrays_of(path))
    content = bytearray(path.read_bytes())
    content[2000:2200] = bytes(200)
    path.write_bytes(content)


def _plain_npy(path):
    with path.open("wb") as file:
        np.save(file, np.ones(3, np.float32))


def _zip_of_text(path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("README.txt", "text")


SPOIL: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "html": lambda path: path.write_text("<html><body>404</body></html>"),
    "truncated": _truncated,
    "corrupted": _corrupted,
    "npy": _plain_npy,
    "text inside": _zip_of_text,
    "folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("file", ["params.npz", FILE, f"{TRAINED}.npz"])
@pytest.mark.parametrize("damage", SPOIL)
def test_a_damaged_file_is_named(damage, file, tmp_path):
    folder = copy_of("patch_4", tmp_path)
    SPOIL[damage](folder / file)
    assert file in refusal(folder)
