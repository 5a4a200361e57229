"""A diagnosis of public ports, unedited, finds the deviations that were listed beforehand.

MEANFLOW_PORTS names a folder of checkouts (public/expected.py says of which); without it the
tests that call a port are skipped.
"""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from tests.verify.ports.public.expectation import Deviation, Port, invented, missed
from tests.verify.ports.public.expected import PORTS
from verify.ports import diagnosis
from verify.ports.finding import HEADINGS, Finding
from verify.ports.settings import OFFICIAL, claimed

FOLDER = Path(__file__).parent / "public"
ROOT = Path(__file__).parents[3]
NO_ADAPTERS = {"one_call.py", "expectation.py", "expected.py", "expected_zhuyu.py"}
ADAPTERS = sorted(path.name for path in FOLDER.glob("*.py") if path.name not in NO_ADAPTERS)
GIVEN = {port.adapter: port for port in PORTS}


def name_of(port: Port) -> str:
    return f"{port.adapter}-{port.preset}"


def tree_of(adapter: str) -> ast.Module:
    return ast.parse((FOLDER / adapter).read_text(encoding="utf-8"))


def checkout_of(port: Port) -> Path:
    if "MEANFLOW_PORTS" not in os.environ:
        pytest.skip("MEANFLOW_PORTS names no folder of checkouts of public ports")
    folder = Path(os.environ["MEANFLOW_PORTS"]) / port.checkout
    if not folder.is_dir():
        pytest.skip(f"no checkout {folder}")
    return folder


def framework_of(adapter: str) -> str:
    for node in tree_of(adapter).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "framework":
            return str(ast.literal_eval(node.value))
    return "torch"


def skip_unless_it_runs(port: Port) -> None:
    """Skip a port that is not here, or needs a package that is not."""
    checkout_of(port)
    framework = framework_of(port.adapter)
    frameworks = {"jax": ("jax", "flax"), "torch": ("torch",)}[framework]
    for package in (*frameworks, *port.needs):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{port.checkout} needs the package {package}")


def called(port: Port) -> dict[str, str]:
    """What one_call.py printed of an adapter: name of a loss or sampler -> "" or its error."""
    skip_unless_it_runs(port)
    command = [sys.executable, str(FOLDER / "one_call.py"), str(FOLDER / port.adapter)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=300, env=environment,
        cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_adapter_has_five_to_twenty_lines(adapter: str) -> None:
    docstring = tree_of(adapter).body[0]
    assert docstring.end_lineno is not None
    lines = (FOLDER / adapter).read_text(encoding="utf-8").splitlines()[docstring.end_lineno :]
    assert 5 <= sum(bool(line.strip()) for line in lines) <= 20


@pytest.mark.parametrize("port", PORTS, ids=name_of)
def test_each_loss_and_sampler_of_an_adapter_has_a_list(port: Port) -> None:
    body = tree_of(port.adapter).body
    names = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    listed = {n for n in names if n == "sample" or n.split("_")[0] == "loss"}
    assert listed == set(port.deviations)
    assert port.preset in OFFICIAL


def test_each_adapter_is_listed() -> None:
    assert set(ADAPTERS) == set(GIVEN)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_claims_of_an_adapter_are_settings(adapter: str) -> None:
    constants: dict[str, object] = {}
    for node in tree_of(adapter).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            name = ast.unparse(node.targets[0])
            constants[name] = eval(  # noqa: S307  a literal, or a sum of named ones
                ast.unparse(node.value), {**constants, "__builtins__": {}}
            )
    for name, value in constants.items():
        if name.split("_")[0] == "claims":
            claimed(OFFICIAL[GIVEN[adapter].preset], value)  # type: ignore[arg-type]


@pytest.mark.parametrize("port", PORTS, ids=name_of)
def test_deviations_are_well_formed(port: Port) -> None:
    for entry in chain(*port.deviations.values()):
        assert set(entry.what.split("|")) <= set(HEADINGS)
        assert set(entry.verdict.split("|")) <= {"differs", "claimed", "unknown"}
        assert entry.optional or entry.words
        assert re.compile(entry.words)
        assert re.fullmatch(r"[\w/]+\.py:\d+", entry.source)


@pytest.mark.parametrize("port", PORTS, ids=name_of)
def test_deviations_name_lines_of_code_of_the_port(port: Port) -> None:
    folder = checkout_of(port)
    for entry in chain(*port.deviations.values()):
        file, line = entry.source.split(":")
        text = (folder / file).read_text(encoding="utf-8").splitlines()[int(line) - 1]
        assert text.split("#")[0].strip(), entry


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_adapter_runs_its_port(adapter: str) -> None:
    port = GIVEN[adapter]
    found = called(port)
    assert {name.split()[0] for name in found} == set(port.deviations)
    for name, error in found.items():
        if error.startswith("NotImplementedError") and name in {"sample 2", "sample 4"}:
            continue
        entries = port.deviations[name.split()[0]]
        raises = any("error" in entry.what.split("|") for entry in entries)
        assert bool(error) == raises, f"{name}: {error}"


@pytest.mark.parametrize("port", PORTS, ids=name_of)
def test_a_diagnosis_finds_what_is_listed_and_nothing_else(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_unless_it_runs(port)
    monkeypatch.chdir(ROOT)  # an adapter may need the project's shims
    found = diagnosis.run(FOLDER / port.adapter, port.preset)[0].findings
    assert {finding.loss for finding in found} <= set(port.deviations)
    wrong: list[tuple[object, ...]] = []
    for loss, expected in port.deviations.items():
        findings = [finding for finding in found if finding.loss == loss]
        wrong += [("missed", loss, deviation) for deviation in missed(findings, expected)]
        wrong += [("invented", finding) for finding in invented(findings, expected)]
    assert wrong == [], "\n".join(str(line) for line in wrong)
    unknown = [finding for finding in found if finding.verdict == "unknown"]
    assert len(unknown) <= 1, unknown


def test_findings_are_compared_with_a_list() -> None:
    listed = (
        Deviation("weight", "eps = 0.001", r"0\.001", "loss.py:1"),
        Deviation("weight", "mean over pixels", "mean", "loss.py:2"),
        Deviation("law of times", "", "", "loss.py:3", optional=True),
    )
    both = Finding("weight", "differs", "s / (s + 0.001), mean over pixels", "s / (s + 0.01)")
    same = Finding("target", "same", "v_g - (t - r) du/dt", "v_g - (t - r) du/dt")
    other = Finding("path", "differs", "0.001", "z = (1 - t) x + t e")
    assert missed([both, same], listed) == []
    assert missed([same], listed) == list(listed[:2])
    assert invented([both, same], listed) == []
    assert invented([both, other], listed) == [other]
