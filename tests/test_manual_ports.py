"""The worked examples of docs/ports.md print what stands there, and README shows a part of it."""

import contextlib
import re

import pytest
from subprocesses import ROOT

from meanflow_repro import main
from verify.ports.child import declared_framework
from verify.ports.finding import HEADINGS
from verify.ports.process import Port

PAGE = (ROOT / "docs" / "ports.md").read_text()
PORTS = ROOT / "examples" / "ports"
EXAMPLES = re.findall(
    r"```python\n# (\w+\.py)\n(.*?)```.*?```python\n# (\w+\.py)\n(.*?)```.*?```text\n(.*?)```",
    PAGE,
    re.DOTALL,
)


def blurred(text):
    """Without what other versions and other machines change."""
    text = re.sub(r" in [\d.]+ s with (\w+) \S+", r" with \1", text)
    return re.sub(r"-?\d[\d.e-]* ± \d[\d.e-]*", "#", text)


@pytest.mark.parametrize(
    ("framework", "example"),
    [
        pytest.param("torch", EXAMPLES[0], id="torch"),
        pytest.param("jax", EXAMPLES[1], id="jax", marks=pytest.mark.slow),
    ],
)
def test_the_worked_example_of_a_port_prints_what_the_manual_shows(
    framework, example, tmp_path, capsys, monkeypatch
):
    pytest.importorskip(framework)
    monkeypatch.setenv("COLUMNS", "80")
    code, code_text, file, file_text, shown = example
    (tmp_path / code).write_text(code_text)
    (tmp_path / file).write_text(file_text)
    with contextlib.chdir(tmp_path):
        assert main(["diagnose", file]) == 1
    assert blurred(capsys.readouterr().out) == blurred(shown)


def test_readme_shows_a_part_of_the_worked_example():
    *_, file, adapter, output = EXAMPLES[0]
    section = (ROOT / "README.md").read_text().split("## Is your port right?")[1]
    assert f"```python\n{adapter}```" in section
    assert f"`meanflow diagnose {file}`" in section
    shown = section.split("```text\n")[1].split("```")[0].splitlines()
    assert len(shown) >= 5
    printed = [*blurred(output).splitlines(), "..."]
    assert [line for line in shown if blurred(line) not in printed] == []


def test_every_heading_is_explained():
    rows = re.findall(r"^\| ([\w= ]+) \|", PAGE, re.MULTILINE)
    assert set(HEADINGS) <= set(rows)


@pytest.mark.parametrize("path", sorted(PORTS.glob("*.py")), ids=lambda path: path.stem)
def test_every_example_of_a_port_is_one(path):
    pytest.importorskip(declared_framework(path))
    with Port(path) as port:
        loaded = port.load()
    assert (loaded.losses, loaded.sample, loaded.claims) == (("loss",), True, {})


@pytest.mark.parametrize(
    "name", ["meanflow_torch", pytest.param("meanflow_jax", marks=pytest.mark.slow)]
)
def test_our_implementations_are_the_same_in_every_line(name, capsys):
    pytest.importorskip(name.removeprefix("meanflow_"))
    assert main(["diagnose", str(PORTS / f"{name}.py"), "--strict"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^no differences, \d+ same in ", said, re.MULTILINE)
    assert "unknown" not in said
