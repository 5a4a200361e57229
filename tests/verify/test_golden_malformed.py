"""A golden folder that cannot be used is refused in one line that says where it is wrong."""

import json
import zipfile

import numpy as np
import pytest
from golden_folders import TRAINED, arrays_of, copy_of, refusal

CASE = "guided"
FILE = f"case_{CASE}.npz"
NO_JSON = [b"", b"{", b"<html>\n</html>", b"\xff\xfe{}", b"{'a': 1}"]
NO_CASES = [[], {}, None, 3, "guided", [{"guided": {}}]]


def test_what_is_no_golden_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("nowhere", "file"):
        assert str(tmp_path / name) in refusal(tmp_path / name)
    assert "cases.json" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        *((content, "cases.json is not readable JSON") for content in NO_JSON),
        *((json.dumps(listed).encode(), "cases.json is not a mapping") for listed in NO_CASES),
        *(
            (json.dumps({CASE: case}).encode(), f"cases.json: the case {CASE} lacks its model")
            for case in ("text", [], 1, None)
        ),
    ],
)
def test_a_listing_that_holds_no_cases_is_refused(content, says, tmp_path):
    folder = copy_of("patch_4", tmp_path)
    (folder / "cases.json").write_bytes(content)
    assert says in refusal(folder)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        *((k, value, [k]) for k in ("model", "method") for value in (..., [1], None, "cfg")),
        ("method.omaga", 1.0, ["method.omaga", "method.omega"]),
        ("method.kappa", float("nan"), ["method.kappa", "nan"]),
        ("model.depth", ..., ["depth"]),
        ("model.dpeth", 1, ["dpeth", "depth"]),
        ("model.patch_size", 5, ["patch size"]),
        ("model.depth", "deep", ["depth"]),
        ("model.num_classes", None, ["num_classes"]),
    ],
)
def test_a_case_with_wrong_settings_is_refused(key, value, words, tmp_path):
    folder = copy_of("patch_4", tmp_path, CASE)
    cases = json.loads((folder / "cases.json").read_text())
    *sections, name = key.split(".")
    changed = cases[CASE][sections[0]] if sections else cases[CASE]
    changed[name] = value
    if value is ...:
        del changed[name]
    (folder / "cases.json").write_text(json.dumps(cases))
    message = refusal(folder)
    for word in ("cases.json", CASE, *words):
        assert word in message


@pytest.mark.parametrize(
    ("key", "times"),
    [
        *((key, 2) for key in ("depth", "hidden_size", "num_classes", "in_channels")),
        ("depth", 2**31 - 1), ("mlp_ratio", 1e30), ("num_classes", 2**29),
    ],
)  # fmt: skip
def test_sizes_that_do_not_fit_the_parameters_are_refused(key, times, tmp_path):
    folder = copy_of("patch_4", tmp_path, CASE)
    cases = json.loads((folder / "cases.json").read_text())
    cases[CASE]["model"][key] *= times
    (folder / "cases.json").write_text(json.dumps(cases))
    assert "params.npz" in refusal(folder)


# ------------------------------------------------------------------------------ files as such


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


SPOIL = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "html": lambda path: path.write_text("<html><body>404</body></html>"),
    "truncated": _truncated,
    "corrupted": _corrupted,
    "npy": _plain_npy,
    "text inside": _zip_of_text,
    "folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize(
    ("file", "damage"),
    [(f"{TRAINED}.json", "missing")]
    + [(file, damage) for file in ("params.npz", FILE) for damage in SPOIL]
    + [(f"{TRAINED}.npz", damage) for damage in SPOIL if damage != "missing"],
)
def test_a_damaged_file_is_named(file, damage, tmp_path):
    folder = copy_of("patch_4", tmp_path)
    SPOIL[damage](folder / file)
    assert file in refusal(folder)
