"""The site is built of the manual, whole and without the network, or says what is wrong."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from subprocesses import ROOT

from results.report.page import write_page

pytest.importorskip("mkdocs")
LISTED = ("docs", "examples", "impls", "reference", "results", "verify", "*.md", "*.cff")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """What a site is made of: the files that git knows, and the report."""
    root = tmp_path_factory.mktemp("project")
    for pattern in (*LISTED, "mkdocs.yml"):
        for path in ROOT.glob(pattern):
            copy, name = (shutil.copytree if path.is_dir() else shutil.copy), path.name
            copy(path, root / name)
    write_page((), index=root / "results" / "report" / "index.html")
    return root


def build(root):
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"], cwd=root, capture_output=True,
        text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=False,
    )  # fmt: skip


def test_the_site_builds_with_every_page_and_file_that_is_linked(project):
    done = build(project)
    assert done.returncode == 0, done.stderr
    site = project / "site"
    for name in ("index", "checks", "ports", "seeds", "api/protocol", "contributing"):
        assert "MeanFlow" in (site / f"{name}.html").read_text()
    for page in site.rglob("*.html"):
        text = page.read_text()
        for target in re.findall(
            r'(?:href|src)="?(?!https?:|data:|#|/|javascript:)([^"#> ]+)', text
        ):
            if not target.startswith("mailto:"):
                assert (page.parent / target).exists(), f"{page.name} leads to {target}"


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ("[no such file](../impls/none.py)", "links to ../impls/none.py, which is not a file"),
        ("[no such page](none.md)", "links to none.md, which is not a file"),
        ("[no such heading](data.md#none)", "does not contain an anchor '#none'"),
        ("<script src='https://example.org/a.js'></script>", "loads from the network"),
        ("![picture](https://example.org/a.png)", "loads from the network"),
    ],
)
def test_what_a_reader_would_stumble_over_ends_the_build(planted, said, project):
    page = project / "docs" / "fid.md"
    before = page.read_text()
    page.write_text(f"{before}\n{planted}\n")
    try:
        done = build(project)
    finally:
        page.write_text(before)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
