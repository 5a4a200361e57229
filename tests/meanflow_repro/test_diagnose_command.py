"""`meanflow diagnose`: its statuses and outputs, and files that are no port or do not behave."""

import json
import re
import shutil
import sys

import pytest
from results_records import refused
from subprocesses import ROOT

from impls.common.errors import UserError
from meanflow_repro import main
from verify.ports import diagnosis, process, templates
from verify.ports.finding import HEADINGS, Finding

pytest.importorskip("torch")
PORTS = ROOT / "examples" / "ports"
HEAD = "def network(z, t, h, y): return dict(z=z, t=t, h=h, labels=y)\n"
LOSS = HEAD + "def loss(net, images, labels): return {}\n"
EXAMPLE = re.compile(r"^(\s*)# (?=from |return |def |    return |claims = )", re.MULTILINE)


@pytest.fixture
def port(tmp_path):
    """Writes a port's file; returns its path."""

    def write(text):
        path = tmp_path / "port.py"
        path.write_text(text)
        return path

    return write


def strict_json(path):
    return json.loads(path.read_text(), parse_constant=pytest.fail)


def outcomes(path):
    return {(o["loss"], o["what"]): o["verdict"] for o in strict_json(path)["outcomes"]}


# ------------------------------------------------------------------------------ what is printed


def test_a_port_that_claims_its_differences_is_no_failure(port, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    pytest.importorskip("matplotlib")
    text = (PORTS / "minimal_torch.py").read_text().replace("omega=1.0", "omega=2.0")
    file = port(f'{text}\n\nclaims = {{"omega": 2.0}}\n')
    json_file, svg = tmp_path / "outcomes.json", tmp_path / "figure.svg"
    options = ["--json", str(json_file), "--svg", str(svg), "--seed", "3"]
    assert main(["diagnose", str(file), *options]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert max(map(len, said.out.splitlines())) <= 80
    assert "no differences, 1 claimed, " in said.out
    content = strict_json(json_file)
    assert (content["format"], content["framework"], content["seed"]) == (1, "torch", 3)
    assert {o["what"] for o in content["outcomes"]} <= {*HEADINGS}
    verdicts = outcomes(json_file)
    assert verdicts["loss", "guidance"] == "claimed"
    assert {*verdicts.values()} == {"same", "claimed"}
    assert svg.read_text().count("<svg") == 1


def test_a_difference_fails(port, tmp_path, capsys):
    text = (PORTS / "minimal_torch.py").read_text().replace("** p", "** (p / 2)")
    file = port(text.partition("def sample(net")[0])
    assert main(["diagnose", str(file), "--json", str(tmp_path / "a.json")]) == 1
    said = capsys.readouterr().out
    assert "1 difference, " in said
    assert re.search(r"^ weight +DIFFERS ", said, re.MULTILINE)
    verdicts = outcomes(tmp_path / "a.json")
    assert {what for what, verdict in verdicts.items() if verdict != "same"} == {("loss", "weight")}


FINDINGS = [
    Finding("path", "same", "a", "a"), Finding("guidance", "claimed", "b", "a"),
    Finding("target", "unknown", "", "a", "c"),
]  # fmt: skip


def given(monkeypatch, findings, error=None):
    """Make the findings those of every port; then raise an error."""

    def found(port, official, seed, observed):
        yield from findings
        if error is not None:
            raise error

    monkeypatch.setattr(diagnosis, "diagnose", found)


@pytest.mark.parametrize(
    ("number", "options", "status"),
    [(1, [], 0), (2, [], 0), (2, ["--strict"], 1), (3, [], 2), (0, [], 2)],
)
def test_the_status_is_that_of_the_findings(number, options, status, monkeypatch, port, capsys):
    given(monkeypatch, FINDINGS[:number])
    assert main(["diagnose", str(port(LOSS)), *options]) == status
    assert capsys.readouterr().out.count("\n a") == 0


def test_an_interrupt_leaves_the_findings_so_far(monkeypatch, port, tmp_path, capsys):
    given(monkeypatch, FINDINGS[:2], KeyboardInterrupt())
    file = tmp_path / "a.json"
    assert main(["diagnose", str(port(LOSS)), "--json", str(file)]) == 130
    said = capsys.readouterr()
    assert " guidance        claimed  b\n" in said.out
    assert said.out.endswith("interrupted: these are the findings so far\n")
    assert strict_json(file)["complete"] is False
    assert len(strict_json(file)["outcomes"]) == 2


@pytest.mark.parametrize("error", [process.PortError("it hung"), UserError("claims are wrong")])
def test_an_error_on_the_way_leaves_the_findings_so_far(error, monkeypatch, port, capsys):
    given(monkeypatch, FINDINGS[:2], error)
    assert main(["diagnose", str(port(LOSS))]) == 2
    said = capsys.readouterr().out
    assert " guidance        claimed  b\n" in said
    assert f" error           unknown  {error}\n" in said


def test_a_mistake_of_ours_is_a_line_with_its_place(monkeypatch, port, capsys):
    given(monkeypatch, FINDINGS[:1], IndexError("out of range"))
    assert main(["diagnose", str(port(LOSS))]) == 2
    said = " ".join(capsys.readouterr().out.split())
    assert "error unknown IndexError: out of range (test_diagnose_command.py:" in said
    assert "a mistake of meanflow diagnose" in said


def test_network_adds_the_findings_on_the_real_network(monkeypatch, port, capsys):
    network = pytest.importorskip("verify.ports.network")
    extra = [Finding("network", "same", "(t, h), not scaled", "(t, h)", loss="build")]
    monkeypatch.setattr(network, "findings", lambda _port: extra)
    given(monkeypatch, FINDINGS[:1])
    assert main(["diagnose", str(port(LOSS)), "--network"]) == 0
    assert " network         same     (t, h), not scaled\n" in capsys.readouterr().out


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "FILE is missing"),
        (("none.py",), "there is no port none.py"),
        (("{port}", "--seed", "-1"), "--seed is -1, expected a whole number, 0 or more"),
        (("{port}", "--json", "none/a.json"), "cannot write to"),
        (("{port}", "--svg", "none/a.svg"), "cannot write to"),
        (("{port}", "--python", "/none/python"), "--python /none/python cannot be run"),
    ],
)
def test_a_wrong_option_is_one_sentence(arguments, says, port, capsys):
    file = str(port(LOSS))
    assert says in refused(capsys, "diagnose", *(word.format(port=file) for word in arguments))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def loss(:\n", "SyntaxError"),
        ("", "port.py: the file defines no function network and loss"),
        (HEAD, "port.py: the file defines no function network and loss"),
        (f'framework = "tensorflow"\n{LOSS}', "framework is 'tensorflow', expected 'torch' or"),
        (f"claims = dict(omga=1.0)\n{LOSS}", "claims has no key omga; did you mean omega?"),
        (f"claims = dict(omega='two')\n{LOSS}", "omega is 'two', expected a number"),
        ("import none_such\n", "No module named 'none_such' (port.py:1: import none_such)"),
        ("import sys\nsys.exit(5)\n", "SystemExit: 5"),
        ("import os\nprint('bye')\nos._exit(5)\n", "its process ended with status 5"),
        ("1 / 0\n", "ZeroDivisionError: division by zero (port.py:1: 1 / 0)"),
    ],
)
def test_a_file_that_is_no_port_is_one_sentence(text, says, port, capsys):
    assert says in refused(capsys, "diagnose", port(text))


@pytest.mark.parametrize("at_import", [True, False])
def test_a_port_that_hangs_is_ended(at_import, port, monkeypatch):
    endless = "import time\ntime.sleep(600)\n"
    if at_import:
        monkeypatch.setattr(process, "LOAD_SECONDS", 1)
        with pytest.raises(UserError, match="cannot be imported: no answer within 1 s"):
            diagnosis.run(port(endless), "imagenet")
        return
    file = port("import time\n" + LOSS.format("time.sleep(600)"))
    found, _ = diagnosis.run(file, "imagenet", call_seconds=1)
    assert [(one.what, one.verdict) for one in found.findings] == [("error", "unknown")]
    assert "no answer within 1 s" in found.findings[0].code
    assert found.exit_status() == 2


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("print('x' * 5000)", "it returned None, expected a loss"),
        ("exit(4)", "SystemExit: 4"),
        ("images.sum()", "never calls the network"),
    ],
)
def test_a_loss_that_fails_is_told_with_the_ports_own_line(body, says, port, capsys):
    assert main(["diagnose", str(port(LOSS.format(body)))]) == 2
    said = " ".join(capsys.readouterr().out.split())
    assert says in said
    assert "not diagnosed: error of loss" in said


# ------------------------------------------------------------------------------ to fill in


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_a_template_is_printed_whole(framework, capsys):
    assert main(["diagnose", "--template", framework]) == 0
    said = capsys.readouterr().out
    assert said == templates.text(framework)
    assert f'\nframework = "{framework}"\n' in said


def test_a_template_that_is_not_filled_in_says_so(port, capsys):
    assert main(["diagnose", str(port(templates.text("torch")))]) == 2
    said = " ".join(capsys.readouterr().out.split())
    assert "NotImplementedError: call your loss in loss()" in said


@pytest.mark.parametrize("framework", ["torch", pytest.param("jax", marks=pytest.mark.slow)])
def test_a_template_with_its_example_diagnoses(framework, port, tmp_path, capsys):
    pytest.importorskip(framework)
    filled = EXAMPLE.sub(r"\1", templates.text(framework))
    assert "    return meanflow_loss(" in filled
    file = port(filled)
    shutil.copy(PORTS / f"minimal_{framework}.py", tmp_path / "my_port.py")
    assert main(["diagnose", str(file), "--python", sys.executable]) == 0, capsys.readouterr().out
