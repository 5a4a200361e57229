"""Everything that is made from records is the same bytes again, wherever it is made."""

import re
import shutil
from importlib import metadata

import pytest
from subprocesses import ROOT, run_python

pytest.importorskip("matplotlib")

import numpy as np
from drawn_figures import ALL as FIGURES
from matplotlib import ft2font

from results.reading import read
from results.report.page import page
from results.tabulate.write import ALL as TABLES
from verify.checks import sentences

SOURCES = ("impls", "reference", "results", "verify", "bench", "meanflow_repro")
MADE = {
    *(f"results/tables/{name}.md" for name in TABLES),
    *(f"results/figures/{name}.svg" for name in FIGURES),
}
INDEX = "results/report/index.html"  # which git ignores
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


def hostile(folder):
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


def test_all_that_was_deleted_comes_back_byte_for_byte_in_another_environment(tmp_path):
    root, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    elsewhere.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "tables", "figures", "index.html")
    for name in SOURCES:
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    emptied = re.sub(r"(<!-- table \w+ -->).*?(<!-- end -->)", r"\1\n\2", readme, flags=re.DOTALL)
    assert "| jvp |" not in emptied
    (root / "README.md").write_text(emptied, encoding="utf-8")
    assert not [name for name in (*MADE, INDEX) if (root / name).exists()]
    environment = hostile(elsewhere) | {"PYTHONPATH": str(root)}
    done = run_python("-m", "meanflow_repro", "tables", cwd=elsewhere, **environment)
    assert done.returncode == 0, done.stderr
    wanted = {name: (ROOT / name).read_bytes() for name in (*MADE, "README.md")}
    wanted[INDEX] = page(read(), sentences()).encode()
    assert [name for name in wanted if (root / name).read_bytes() != wanted[name]] == []


def test_what_is_made_is_all_that_lies_there():
    """A file that nothing makes any more, or that somebody put there, would stay for ever."""
    folders = (ROOT / "results" / "tables", ROOT / "results" / "figures")
    found = {path.relative_to(ROOT).as_posix() for folder in folders for path in folder.iterdir()}
    assert found == MADE


def test_what_draws_letters_and_packs_pixels_is_what_is_pinned():
    """Another matplotlib or FreeType draws otherwise, another Pillow packs otherwise."""
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().split()
        if line.count("==") == 1
    )
    for name in ("matplotlib", "pillow"):
        assert metadata.version(name) == pins[name], f"pip install -c constraints.txt {name}"
    assert ft2font.__freetype_build_type__ == "local"  # matplotlib's own, not the system's
