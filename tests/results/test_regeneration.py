"""Everything that is made from records is the same bytes again, wherever it is made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

import numpy as np
from matplotlib import ft2font

from results.draw.write import ALL as FIGURES
from results.tabulate.write import ALL as TABLES

ROOT = Path(__file__).parents[2]
SOURCES = ("impls", "reference", "results", "verify", "bench", "README.md")
FOLDERS = ("results/tables", "results/figures")  # where every file is made
HOSTILE_STYLE = """\
font.family: serif
font.size: 30
svg.fonttype: none
svg.hashsalt: other
svg.image_inline: False
savefig.bbox: tight
savefig.dpi: 50
axes.grid: True
lines.linewidth: 7
path.simplify: False
timezone: Asia/Tokyo
"""


def made_files(root: Path) -> dict[str, bytes]:
    """Every file that `nox -s tables` writes, and its bytes."""
    paths = [path for folder in FOLDERS for path in (root / folder).iterdir()]
    paths += [root / "results" / "report" / "index.html", root / "README.md"]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(paths)}


def without_generated_files(root: Path) -> None:
    """Delete them; of the README, what stands between the markers."""
    for folder in FOLDERS:
        shutil.rmtree(root / folder)
    (root / "results" / "report" / "index.html").unlink()
    readme = root / "README.md"
    pieces = readme.read_text(encoding="utf-8").split("<!-- end -->")
    kept = []
    for piece in pieces:
        before, marker, block = piece.partition("<!-- table ")
        kept.append(before + marker + (block.partition(" -->")[0] + " -->\n" if marker else ""))
    readme.write_text("<!-- end -->".join(kept), encoding="utf-8")


def hostile(folder: Path) -> dict[str, str]:
    """An environment of another person, country, screen and processor."""
    features_of_numpy = np._core._multiarray_umath
    extras = [name for name in features_of_numpy.__cpu_dispatch__ if
              features_of_numpy.__cpu_features__[name]]  # fmt: skip
    (folder / "matplotlibrc").write_text(HOSTILE_STYLE)
    (folder / "config").mkdir()
    (folder / "config" / "matplotlibrc").write_text(HOSTILE_STYLE)
    return {
        "PYTHONHASHSEED": "4711", "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "LANG": "tr_TR.UTF-8",
        "PYTHONUTF8": "0", "MPLCONFIGDIR": str(folder / "config"), "MPLBACKEND": "svg",
        "COLUMNS": "33", "FORCE_COLOR": "1", "SOURCE_DATE_EPOCH": "1", "OMP_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2", "OPENBLAS_CORETYPE": "Prescott",
        "NPY_DISABLE_CPU_FEATURES": " ".join(extras),
    }  # fmt: skip


def test_all_that_was_deleted_comes_back_byte_for_byte_in_another_environment(
    tmp_path: Path,
) -> None:
    root, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    wanted = made_files(ROOT)
    without_generated_files(root)
    assert made_files_left(root) == ["README.md"]
    done = subprocess.run(
        [sys.executable, "-m", "meanflow_repro", "tables"],
        cwd=elsewhere,
        env=os.environ | hostile(elsewhere) | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = made_files(root)
    assert set(found) == set(wanted)
    assert [name for name in wanted if found[name] != wanted[name]] == []


def made_files_left(root: Path) -> list[str]:
    """Generated files that are there; the README always is, without what was generated."""
    kept = [name for name in made_files(ROOT) if (root / name).is_file()]
    assert "| jvp |" not in (root / "README.md").read_text(encoding="utf-8")
    return kept


def test_what_is_made_is_all_that_lies_there() -> None:
    """A file that nothing makes any more, or that somebody put there, would stay for ever."""
    made = {f"results/tables/{name}.md" for name in TABLES}
    made |= {f"results/figures/{name}{ending}" for name in FIGURES for ending in (".svg", ".png")}
    assert set(made_files(ROOT)) == made | {"results/report/index.html", "README.md"}


def test_what_draws_letters_and_packs_pixels_is_what_is_pinned() -> None:
    """Another matplotlib or FreeType draws otherwise, another Pillow packs otherwise."""
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().split()
        if line.count("==") == 1
    )
    for name in ("matplotlib", "pillow"):
        assert metadata.version(name) == pins[name], f"pip install -c constraints.txt {name}"
    assert ft2font.__freetype_build_type__ == "local"  # matplotlib's own, not the system's
