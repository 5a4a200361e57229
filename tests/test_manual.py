"""What README and manual say can be typed, opened and found, can be."""

import re
import shlex
import subprocess

import pytest
from subprocesses import ROOT, run_python

from impls.common.config_files import preset_names

FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = {path.name: path.read_text(encoding="utf-8") for path in FILES}
README, MANUAL = PAGES["README.md"], "\n".join(PAGES.values())
FENCES = re.findall(r"^```(\w*)\n(.*?)^```", MANUAL, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```.*?^```", "", MANUAL, flags=re.MULTILINE | re.DOTALL)
MAP = next(text for _, text in FENCES if "noxfile.py" in text and "impls/" in text)
NAME = r"(?:[\w.*-]+/)*[\w*-]+\.(?:py|yml|json)\b|\b\w+/(?=\s|$)"  # of a file or a folder


def commands():
    """Every command of the manual, in blocks of a shell, indented blocks and inline code."""
    lines = [
        line
        for kind, text in FENCES
        if kind in ("bash", "console")
        for line in text.replace("\\\n", " ").split("\n")
    ]
    lines += re.findall(r"^    ((?:pip|nox|meanflow) .*)", PROSE, re.MULTILINE)
    lines += re.findall(r"`((?:nox|meanflow) [^`]*)`", PROSE)
    words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [command for command in words if command]


def test_it_opens_with_the_one_command():
    opening = README.split("\n## ")[0]
    assert re.search(r"^ *pip install nox\n *nox -s verify$", opening, re.MULTILINE)


def test_every_preset_is_named():
    said = [re.sub("/.*", "/*", name) for name in preset_names()]
    assert [name for name in said if f"`{name}`" not in PAGES["training.md"]] == []


def test_the_readme_is_a_front_door():
    assert README.count("\n") <= 200


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    targets = set(re.findall(r"\]\((?!https?:|#)([^)#]+)", PAGES[path.name]))
    made = {"../results/report/index.html"}  # by `nox -s tables`, and not committed
    assert [target for target in targets - made if not (path.parent / target).exists()] == []


def test_the_example_of_a_subject_is_the_file():
    [shown] = [text for kind, text in FENCES if kind == "python" and "def target" in text]
    assert shown == (ROOT / "examples" / "subject.py").read_text()


def mapped_paths():
    """Every path in the map of the house: by indentation, and names within the descriptions."""
    found: list[str] = []
    parents: dict[int, str] = {0: ""}
    for line in filter(str.strip, MAP.split("\n")):
        indent = len(line) - len(line.lstrip())
        parent = parents[indent]
        label, _, said = line.strip().partition("  ")
        is_row = not indent and not label.endswith("/")  # several files, spread over the line
        names = line.split() if is_row else label.split()
        found += [parent + name for name in names]
        if names[0].endswith("/"):
            parents[indent + 2] = parent + names[0]
        base = parent + names[0] if names[0].endswith("/") else parent
        inside = re.findall(NAME, "" if is_row else said)
        found += [base + name for name in inside]
    return found


@pytest.mark.parametrize("path", mapped_paths())
def test_every_path_of_the_map_exists(path):
    assert list(ROOT.glob(path.rstrip("/"))), path
    assert not path.endswith("/") or (ROOT / path).is_dir()


def test_every_top_level_name_is_on_the_map():
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in done.stdout.splitlines()} - {".gitignore"}
    assert top - {path.split("/")[0] for path in mapped_paths()} == set()
    assert len(top) > 5


@pytest.mark.slow
def test_the_python_of_the_manual_runs(tmp_path):
    [text] = [text for kind, text in FENCES if kind == "python" and "meanflow_jax" in text]
    for framework in ("jax", "torch"):
        pytest.importorskip(framework)
        script = text.replace("meanflow_jax", f"meanflow_{framework}")
        (tmp_path / "manual.py").write_text(f"{script}\nassert images.shape == (4, 8, 8, 1)\n")
        done = run_python("-W", "ignore", tmp_path / "manual.py")
        assert done.returncode == 0, done.stderr


# Nobody types a number: outcomes stand in blocks made from records. The two exceptions are names.
NO_PROSE = r"<!-- table .*?<!-- end -->|```.*?```|^    .*?$|`[^`]*`|\]\([^)]*\)|\d{4}-\d\d-\d\d"
AMOUNT = r"\b(?:\d[\d,]*|an?|one|two|three|four|five|six|seven|eight|nine|ten|twenty|thirty)"
OUTCOME = re.compile(
    rf"(?<!Python )(?<!arXiv )(?<!section )\b\d+\.\d+|\de-\d"
    rf"|{AMOUNT}[\s-](?:%(?! (?:bootstrap )?interval)|[GM]B\b|times\b"
    r"|(?:second|minute|hour|day|week)s?\b)"
)


def outcomes(text):
    return OUTCOME.findall(re.sub(NO_PROSE, "", text, flags=re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("name", PAGES)
def test_no_outcome_is_typed_into_prose(name):
    assert outcomes(PAGES[name]) == []


@pytest.mark.parametrize(
    "typed", ["in 214 seconds", "1.37 of it", "in a minute", "ten times", "to 3e-07", "99 % of it"]
)
def test_an_outcome_in_prose_is_found(typed):
    text = README.replace("\n## Install\n", f"\n## Install\n\nIt is {typed}.\n")
    assert len(outcomes(text)) == 1
