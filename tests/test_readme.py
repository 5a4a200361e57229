"""What the README says can be typed, opened and found, can be."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from impls.common.config_files import preset_names

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
MAP = next(text for _, text in FENCES if "noxfile.py" in text and "impls/\n" in text)
NAME = r"(?:[\w.*-]+/)*[\w*-]+\.(?:py|yml|json)\b|\b\w+/(?=\s|$)"  # of a file or a folder


def commands() -> list[list[str]]:
    """Every command of the README, in blocks of a shell, indented blocks and inline code."""
    lines = [
        line
        for kind, text in FENCES
        if kind in ("bash", "console")
        for line in text.replace("\\\n", " ").split("\n")
    ]
    lines += re.findall(r"^    (.*)", PROSE, re.MULTILINE)
    lines += re.findall(r"`((?:nox|meanflow) [^`]*)`", PROSE)
    words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [command for command in words if command]


def of(program: str) -> list[list[str]]:
    found = [command[1:] for command in commands() if command[0] == program]
    return [list(command) for command in dict.fromkeys(map(tuple, found))]


@functools.cache
def sessions() -> set[str]:
    """Every session of the noxfile, off by default or not."""
    listing = "import json, noxfile, nox.registry; print(json.dumps([*nox.registry.get()]))"
    done = subprocess.run(
        [sys.executable, "-c", listing], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


@functools.cache
def help_of(*subcommand: str) -> str:
    """The help of the command line, as `meanflow` and its subcommands print it."""
    done = subprocess.run(
        [sys.executable, "-m", "meanflow_repro", *subcommand, "--help"],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def options(words: list[str]) -> list[str]:
    return [word for word in words if word.startswith("--") and word != "--"]


def has_option(text: str, option: str) -> bool:
    return bool(re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text))


def test_it_opens_with_the_one_command() -> None:
    opening = README.split("\n## ")[0]
    assert re.search(r"^ *pip install nox\n *nox -s verify$", opening, re.MULTILINE)


@pytest.mark.parametrize("command", of("nox"), ids=" ".join)
def test_every_nox_session_exists(command: list[str]) -> None:
    if importlib.util.find_spec("nox") is None:
        pytest.skip("nox is not installed")
    own, passed = command, []
    if "--" in command:
        own, passed = command[: command.index("--")], command[command.index("--") + 1 :]
    if own == ["-l"]:
        return
    assert own[0] == "-s"
    assert own[1:]
    assert set(own[1:]) <= sessions()
    source = {
        "golden": (ROOT / "verify" / "golden_writer.py").read_text(),
        "tests": (ROOT / "tests" / "conftest.py").read_text(),
    }
    for option in options(passed):
        command_of = "fid-check" if own[1] == "fid-check" else "verify"
        text = source[own[1]] if own[1] in source else help_of(command_of)
        assert has_option(text, option), option


def test_every_preset_is_named() -> None:
    said = [re.sub("/.*", "/*", name) for name in preset_names()]
    assert [name for name in said if f"`{name}`" not in README] == []


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)", README))))
def test_every_link_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def mapped_paths() -> list[str]:
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
def test_every_path_of_the_map_exists(path: str) -> None:
    assert list(ROOT.glob(path.rstrip("/"))), path
    assert not path.endswith("/") or (ROOT / path).is_dir()


def test_every_top_level_name_is_on_the_map() -> None:
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in done.stdout.splitlines()} - {".gitignore"}
    assert top - {path.split("/")[0] for path in mapped_paths()} == set()
    assert len(top) > 5


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    [text] = [text for kind, text in FENCES if kind == "python"]
    for framework in ("jax", "torch"):
        pytest.importorskip(framework)
        script = text.replace("meanflow_jax", f"meanflow_{framework}")
        (tmp_path / "readme.py").write_text(f"{script}\nassert images.shape == (4, 8, 8, 1)\n")
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(tmp_path / "readme.py")],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
