"""What `meanflow verify` says of other people's modules: silence is not green, failures explain."""

import graphlib
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from meanflow_repro import main
from verify.outcome import FAIL, Outcome
from verify.stages import causes, earlier

# Functions of a subject's own, by name, that do what the reference does.
OWN = """
import functools, reference
def own(*names):
    return {name: functools.partial(getattr(reference, name)) for name in names}
put = get = lambda tree: tree
"""


class Told(NamedTuple):
    """What a run said."""

    name: str  # of the subject
    lines: list[str]  # printed
    text: str  # the same, in one line
    json: dict[str, Any]


@pytest.fixture
def verify(tmp_path, monkeypatch, capsys):
    """Write a subject to the current folder, which is empty, and put it through some checks."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)

    def run(text, checks, *options, status=0):
        name, file = f"subject_{tmp_path.name}", Path("outcomes.json")
        Path(f"{name}.py").write_text(OWN + text)
        chosen = [word for check in checks.split() for word in ("--check", check)]
        assert main(["verify", name, *chosen, "--json", str(file), *options]) == status
        printed = capsys.readouterr().out
        outcomes = json.loads(file.read_text())
        return Told(name, printed.splitlines(), " ".join(printed.split()), outcomes)

    return run


NOT_HERE = """
from verify import NotApplicable
globals().update(own('target'))
def adaptive_weight(config, error):
    if config.method.norm_p {}:
        raise NotApplicable("not here")
    return reference.adaptive_weight(config, error)
"""


SAID = [
    # Called with other arguments it never returns.
    ("def loss(images): return images", "objective draws", 2, "nothing of {name} was judged"),
    ("sync = put\ndef other(): return 0", "objective draws", 2, "nothing of {name} was judged"),
    ("sync = put", "objective", 2,
     "it offers nothing else, and would have to offer adaptive_weight, or"),
    ("globals().update(own('target'))\ndef sampel(*given): return 0", "target_matches", 0,
     "sampel is no name of the protocol; did you mean sample?"),
    ("from reference import put, get, target, squared_error", "target_matches", 2,
     "{name}: target is that of reference.objective, so it is not judged"),
    (NOT_HERE.format("!= 1"), "adaptive_*", 0, "judged 14 of 17 cases (not here)"),
    (NOT_HERE.format("+ 1"), "adaptive_* target_matches", 0, "n/a 2 x: not here"),
    # Failures explain themselves.
    ("def target(*given): raise SystemExit(0)", "target_*", 1,
     "raised SystemExit: 0 ({name}.py:6 in target)"),
    ("def target(*given): return reference.target(*given).transpose(0, 3, 1, 2)", "target_*", 1,
     "returned shape (8, 1, 8, 8), expected (8, 8, 8, 1)"),
    ("def target(*given): return reference.target(*given).astype('float32')", "target_*", 1,
     "target returned float32, asked for float64"),
    ("def target(v_g, du_dt, t, r): return v_g", "target_*", 1, "u_tgt = v_g - (t - r) du/dt."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "checks", "status", "says"), SAID)
def test_what_is_said_of_a_subject(text, checks, status, says, verify):
    told = verify(text, checks, status=status)
    assert says.format(name=told.name) in told.text
    assert "put is that of" not in told.text  # anybody may borrow what carries arrays
    assert ("nothing of" in told.text) == (status == 2 or "SystemExit" in text)


def test_the_last_lines_name_what_was_judged_and_what_was_not(verify):
    text = "globals().update(own('target', 'loss', 'load_params'))"
    told = verify(text, "objective jvp sampling")
    assert f"judged of {told.name}: load_params, target, loss; not: " in told.text
    unjudged = told.text.rpartition("; not: ")[2]
    assert {"mean_velocity_jvp", "sample"} <= set(unjudged.replace(",", "").split())
    assert told.json["judged"] == {told.name: ["load_params", "target", "loss"]}


def test_what_is_required_and_not_applicable_fails(verify):
    text, checks = "globals().update(own('target'))", "target_* squared_error_*"
    verify(text, checks)
    told = verify(text, checks, "--require", "squared_*", "--require", "target_*", status=1)
    assert "required, but not applicable: the subject offers no squared_error" in told.text


def test_a_required_check_need_not_judge_every_precision():
    check = "jvp_matches_central_difference"
    options = ["verify", "reference", "--check", check, "--require", check]
    assert main(options) == 0
    assert main([*options, "--dtype=float32"]) == 1


def test_a_required_check_that_does_not_exist_is_refused(capsys):
    assert main(["verify", "reference", "--check", "jvp", "--require", "jvpp"]) == 2
    assert "did you mean jvp?" in capsys.readouterr().err


def test_fields_of_the_loss_that_are_none_are_not_judged(verify):
    text = """
globals().update(own('load_params'))
def loss(*given):
    return reference.loss(*given)._replace(v_loss=None, z=None, du_dt=None)
"""
    outcomes = verify(text, "objective").json["outcomes"]
    status = {(o["check"], o["status"]) for o in outcomes}
    assert ("velocity_loss_matches", "n/a") in status
    assert ("state_and_velocity_match", "pass") in status
    assert ("mean_velocity_and_derivative_match", "pass") in status


# ------------------------------------------------------------------------------ failures explain


def test_verbose_names_several_of_the_worst_places(verify):
    text = "def target(v_g, du_dt, t, r): return v_g"
    few, many = (verify(text, "target_*", *more, status=1).text for more in ((), ("--verbose",)))
    assert len(many) > len(few)
    assert sum(case in many for case in ("guided", "odd_batch", "latent", "uniform")) > 1


def test_a_traceback_is_printed_on_demand(verify):
    text = "def target(v_g, du_dt, t, r): return 1 / 0"
    assert "Traceback" not in verify(text, "target_*", status=1).text
    told = verify(text, "target_*", "--traceback", status=1)
    assert "Traceback (most recent call last)" in told.text


def test_what_follows_from_an_earlier_failure_is_told_apart(verify):
    text = """
globals().update(own('load_params', 'mean_velocity', 'interpolate', 'sample', 'adaptive_weight'))
from unittest import mock
def wrong(v_g, du_dt, t, r): return v_g + du_dt * (t - r)[:, None, None, None]
target = wrong
def loss(*given):
    with mock.patch("reference.objective.target", wrong):
        return reference.loss(*given)
"""
    told = verify(text, "objective", status=1)
    first = [line.split()[1] for line in told.lines if line.startswith("FAIL t")]
    assert set(first) == {"target_matches", "target_clips_the_interval"}
    assert "more, which follow from target_matches:" in told.text
    assert f"     per_sample_errors_match ({told.name}, float64)" in told.lines
    assert "failures follow from others" in told.text


def test_stages_have_no_circle():
    assert list(graphlib.TopologicalSorter(earlier()).static_order())


def test_a_failure_of_one_of_a_pair_explains_the_pairs():
    def failed(check, subject, dtype="float64"):
        return Outcome(check, "", subject, dtype, FAIL, 1.0, 0.0, "")

    found = causes(
        [
            failed("gradient_matches_hand_written", "one"),
            failed("same_gradient", "one ~ two"),
            failed("same_gradient", "one ~ two", "float32"),
            failed("same_gradient", "two ~ three"),
        ]
    )
    assert found == {("same_gradient", "one ~ two", "float64"): "gradient_matches_hand_written"}


# ------------------------------------------------------------------------ files and precisions


def test_one_precision_can_be_asked_for(verify):
    told = verify("globals().update(own('target'))", "target_matches", "--dtype", "float32")
    assert {outcome["dtype"] for outcome in told.json["outcomes"]} == {"float32"}


@pytest.mark.parametrize("package", [True, False])
def test_a_subject_can_be_named_by_its_file(package, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    file = Path(f"port_{tmp_path.name}/inner_{tmp_path.name}.py")
    file.parent.mkdir()
    text = f"{OWN}\nglobals().update(own('target'))"
    if package:
        (file.parent / "__init__.py").touch()
        (file.parent / "helper.py").write_text("")
        text += "\nfrom . import helper"
    file.write_text(text)
    assert main(["verify", f"./{file}", "--check", "target_matches"]) == 0
    assert file.stem in capsys.readouterr().out


@pytest.mark.parametrize(
    ("files", "imported"),
    [
        ({"results.py": ""}, "import results"),
        ({"bench/timer.py": ""}, "def later():\n    from bench import timer"),
        ({"mine.py": "import reference", "reference/__init__.py": ""}, "import mine"),
        (
            {"deep/__init__.py": "", "deep/er.py": "import verify", "verify.py": ""},
            "import deep.er",
        ),
    ],
)
def test_a_module_of_its_own_with_the_name_of_one_of_ours_is_refused(
    files, imported, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    for name, content in files.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(content)
    name = f"shadowed_{tmp_path.name}"
    Path(f"{name}.py").write_text(f"put = get = target = lambda *given: given\n{imported}")
    assert main(["verify", name, "--check", "target_matches"]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path) in error
    assert "both cannot be had in one process" in error


def test_a_folder_of_outputs_named_results_is_no_obstacle(verify):
    Path("results").mkdir()
    Path("results/samples.png").touch()
    verify("globals().update(own('target'))\nfrom results.schema import Record", "target_matches")
