"""What `meanflow verify` says of other people's modules: silence is not green, failures explain."""

import graphlib
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from meanflow_repro import main
from verify.checks import all_checks
from verify.compare import at, mismatches, relative_error, row_error
from verify.coverage import not_applicable
from verify.outcome import FAIL, NOT_APPLICABLE, Outcome, Report, Subject
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
    ("def loss(images): return images", "objective draws", 2, "nothing of {name} was checked"),
    ("sync = put\ndef other(): return 0", "objective draws", 2, "nothing of {name} was checked"),
    ("sync = put", "objective", 2,
     "it offers nothing else, and would have to offer adaptive_weight, or"),
    ("globals().update(own('target'))\ndef sampel(*given): return 0", "target_matches", 0,
     "sampel is not in the protocol; did you mean sample?"),
    ("from reference import put, get, target, squared_error", "target_matches", 2,
     "{name}: target is imported from reference.objective: not checked"),
    (NOT_HERE.format("!= 1"), "adaptive_*", 0, "checked 14 of 17 cases (not here)"),
    (NOT_HERE.format("+ 1"), "adaptive_* target_matches", 0, "n/a 2 x: not here"),
    # Failures explain themselves.
    ("def target(*given): raise SystemExit(0)", "target_*", 1,
     "raised SystemExit: 0 ({name}.py:6 in target)"),
    ("def target(*given): return reference.target(*given).transpose(0, 3, 1, 2)", "target_*", 1,
     "returned shape (8, 1, 8, 8), expected (8, 8, 8, 1)"),
    ("def target(*given): return reference.target(*given).astype('float32')", "target_*", 1,
     "target returned float32, asked for float64"),
    ("def target(v_g, du_dt, t, r): return v_g", "target_*", 1, "u_tgt = v_g - (t - r) du/dt."),
    ("def target(v_g, du_dt, t, r): return v_g * 0 + 7", "target_*", 1, ": returned 7, expected "),
    ("def target(v_g, du_dt, t, r): return v_g", "target_*", 1, "({name}, float64 and float32)"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "checks", "status", "says"), SAID)
def test_what_is_said_of_a_subject(text, checks, status, says, verify):
    told = verify(text, checks, status=status)
    assert says.format(name=told.name) in told.text
    assert "put is imported from" not in told.text  # anybody may import transfer functions
    assert ("nothing of" in told.text) == (status == 2 or "SystemExit" in text)


def test_the_last_lines_name_what_was_judged_and_what_was_not(verify):
    text = "globals().update(own('target', 'loss', 'load_params', 'sample'))"
    text += "\ndef sample(*given): return 1 / 0"
    told = verify(text, "loss_matches target_* sampling", status=1)
    checked = f"checked in {told.name}: load_params, target, loss; "
    assert f"{checked}offered, but not checked: sample" in told.text
    assert told.json["judged"] == {told.name: ["load_params", "target", "loss"]}
    told = verify(text, "loss_matches target_* jvp sampling", "--verbose", status=1)
    unjudged = told.text.rpartition(f"{checked}not: ")[2]
    assert {"mean_velocity_jvp", "sample"} <= set(unjudged.replace(",", "").split())


def test_a_loss_that_was_judged_with_its_gradient_is_not_told_as_unjudged(verify):
    text = "globals().update(own('loss', 'loss_and_gradient', 'load_params', 'export_params'))"
    assert "not checked" not in verify(text, "loss_matches").text


def test_what_is_not_applicable_is_counted_with_what_would_make_more_apply(verify):
    text = "globals().update(own('target'))"
    told = verify(text, "objective", "--processes=1")
    assert f"n/a 56 x: {told.name} lacks the functions (--verbose names them). Next:" in told.text
    assert "times: 4 more checks (objective)" in told.text
    assert "squared_error" not in told.text
    assert "adaptive_weight_matches" not in told.text
    told = verify(text, "squared_error* adaptive_*", "--verbose", status=2)
    assert "n/a 2 x: the subject offers no squared_error" in told.lines
    assert [" adaptive_weight_matches", "-", "-"] in [line.rsplit(None, 2) for line in told.lines]


def test_the_functions_that_add_most_checks_for_each_are_named_together():
    checks = [name for name, check in all_checks().items() if check.family == "jvp"]
    outcomes = [
        Outcome(c, "jvp", "mine", "float64", NOT_APPLICABLE, None, None, "") for c in checks
    ]
    report = Report(outcomes, subjects=(Subject("mine", ("put", "get")),))
    said = not_applicable(report, verbose=False)
    assert said[0].startswith(f"n/a {len(checks)} x: mine lacks the functions")
    assert "load_params, mean_velocity_jvp: 4 more checks (jvp)" in said[-1]


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


def test_no_line_of_a_failure_is_empty_and_what_both_precisions_say_is_said_once(verify):
    text = "def target(v_g, du_dt, t, r): return 1 / 0"
    told = verify(text, "target_*", status=1)
    block = told.text.partition("FAIL target_matches")[2].partition("FAIL")[0]
    assert block.count("u_tgt = v_g - (t - r) du/dt.") == 1
    assert block.count("raised ZeroDivisionError: division by zero") == 1
    told = verify(text, "target_clips*", status=1)
    assert not [line for line in told.lines if line and not line.strip()]


def test_what_differs_between_precisions_is_said_of_each(verify):
    text = "def target(*given): return reference.target(*given).astype('float16')"
    told = verify(text, "target_clips*", status=1)
    for dtype in ("float64", "float32"):
        assert any(
            line.startswith(f"     {dtype}: error") and "allowed" in line for line in told.lines
        )
        assert f"target returned float16, asked for {dtype}" in told.text


@pytest.mark.parametrize(
    ("compare", "returned", "expected", "says"),
    [
        (
            row_error,
            [[1.0, 2.0], [3.0, 4.5]],
            [[1.0, 2.0], [3.0, 4.0]],
            "returned 4.5, expected 4 at [1, 1]",
        ),
        (relative_error, [1.0, np.nan], [1.0, 1.0], "returned nan, expected 1 at [1]"),
        (relative_error, 1.0, 1.0 + 1e-9, "returned 1.0, expected 1.000000001"),
        (mismatches, [True, False], [True, True], "returned False, expected True at [1]"),
        (mismatches, [-0.0], [0.0], "returned -0, expected 0 at [0]"),
    ],
)
def test_an_error_remembers_the_entry_where_arrays_differ_most(compare, returned, expected, says):
    error = compare(np.array(returned), np.array(expected))
    assert error.entry == says
    assert at("some case", error).entry == says


def test_a_row_is_the_worst_by_its_own_scale():
    returned, expected = (
        np.array([[100.0, 101.0], [0.1, 0.2]]),
        np.array([[100.0, 100.0], [0.1, 0.1]]),
    )
    assert row_error(returned, expected).entry == "returned 0.2, expected 0.1 at [1, 1]"
    assert relative_error(returned, expected).entry == "returned 101, expected 100 at [0, 1]"


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
    assert f"     per_sample_errors_match ({told.name}, float64 and float32)" in told.lines
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
    assert "one process cannot import both" in error


def test_a_folder_of_outputs_named_results_is_no_obstacle(verify):
    Path("results").mkdir()
    Path("results/samples.png").touch()
    verify("globals().update(own('target'))\nfrom results.schema import Record", "target_matches")
