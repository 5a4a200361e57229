"""What `meanflow verify` says of other people's modules: silence is not green, failures explain."""

from __future__ import annotations

import graphlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from impls.cli import main
from verify.outcome import FAIL, Outcome
from verify.stages import causes, earlier

# Functions of a subject's own, by name, that do what the reference does.
OWN = """
import functools, reference
def own(*names):
    return {name: functools.partial(getattr(reference, name)) for name in names}
put = get = lambda tree: tree
"""


@pytest.fixture
def subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write a subject to the current folder; the name it is importable by."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> str:
        name = f"subject_{tmp_path.name}"
        Path(f"{name}.py").write_text(OWN + text)
        return name

    return write


def chosen(checks: str) -> list[str]:
    """The options that choose these checks."""
    return [word for check in checks.split() for word in ("--check", check)]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, in one line."""
    return " ".join(capsys.readouterr().out.split())


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
def test_what_is_said_of_a_subject(
    text: str, checks: str, status: int, says: str,
    subject: Callable[[str], str], capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    name = subject(text)
    assert main(["verify", name, *chosen(checks)]) == status
    printed = said(capsys)
    assert says.format(name=name) in printed
    assert "put is that of" not in printed  # anybody may borrow what carries arrays
    assert ("nothing of" in printed) == (status == 2 or "SystemExit" in text)


def test_the_last_lines_name_what_was_judged_and_what_was_not(
    subject: Callable[[str], str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name, file = subject("globals().update(own('target', 'loss', 'load_params'))"), tmp_path / "j"
    assert main(["verify", name, *chosen("objective jvp sampling"), "--json", str(file)]) == 0
    printed = said(capsys)
    assert f"judged of {name}: load_params, target, loss; not: " in printed
    unjudged = printed.rpartition("; not: ")[2]
    assert {"mean_velocity_jvp", "sample"} <= set(unjudged.replace(",", "").split())
    assert json.loads(file.read_text())["judged"] == {name: ["load_params", "target", "loss"]}


def test_what_is_required_and_not_applicable_fails(
    subject: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = subject("globals().update(own('target'))")
    options = ["verify", name, *chosen("target_* squared_error_*")]
    assert main(options) == 0
    assert main([*options, "--require", "squared_*", "--require", "target_*"]) == 1
    assert "required, but not applicable: the subject offers no squared_error" in said(capsys)


def test_a_required_check_need_not_judge_every_precision(
    capsys: pytest.CaptureFixture[str],
) -> None:
    check = "jvp_matches_central_difference"
    options = ["verify", "reference", "--check", check, "--require", check]
    assert main(options) == 0
    assert main([*options, "--dtype=float32"]) == 1
    capsys.readouterr()


def test_a_required_check_that_does_not_exist_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["verify", "reference", "--check", "jvp", "--require", "jvpp"]) == 2
    assert "did you mean jvp?" in capsys.readouterr().err


def test_fields_of_the_loss_that_are_none_are_not_judged(
    subject: Callable[[str], str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "outcomes.json"
    name = subject("""
globals().update(own('load_params'))
def loss(*given):
    return reference.loss(*given)._replace(v_loss=None, z=None, du_dt=None)
""")
    assert main(["verify", name, "--check", "objective", "--json", str(file)]) == 0
    outcomes = json.loads(file.read_text())["outcomes"]
    status = {(o["check"], o["status"]) for o in outcomes}
    assert ("velocity_loss_matches", "n/a") in status
    assert ("state_and_velocity_match", "pass") in status
    assert ("mean_velocity_and_derivative_match", "pass") in status
    capsys.readouterr()


# ------------------------------------------------------------------------------ failures explain


def failure(name: str, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["verify", name, "--check", "target_*", *options]) == 1
    return said(capsys)


def test_verbose_names_several_of_the_worst_places(
    subject: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = subject("def target(v_g, du_dt, t, r): return v_g")
    few, many = failure(name, capsys), failure(name, capsys, "--verbose")
    assert len(many) > len(few)
    assert sum(case in many for case in ("guided", "odd_batch", "latent", "uniform")) > 1


def test_a_traceback_is_printed_on_demand(
    subject: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = subject("def target(v_g, du_dt, t, r): return 1 / 0")
    assert "Traceback" not in failure(name, capsys)
    assert "Traceback (most recent call last)" in failure(name, capsys, "--traceback")


def test_what_follows_from_an_earlier_failure_is_told_apart(
    subject: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = subject("""
globals().update(own('load_params', 'mean_velocity', 'interpolate', 'sample', 'adaptive_weight'))
from unittest import mock
def wrong(v_g, du_dt, t, r): return v_g + du_dt * (t - r)[:, None, None, None]
target = wrong
def loss(*given):
    with mock.patch("reference.objective.target", wrong):
        return reference.loss(*given)
""")
    assert main(["verify", name, "--check", "objective"]) == 1
    printed = capsys.readouterr().out
    told = [line.split()[1] for line in printed.splitlines() if line.startswith("FAIL t")]
    assert set(told) == {"target_matches", "target_clips_the_interval"}
    assert "more, which follow from target_matches:" in printed
    assert f"     per_sample_errors_match ({name}, float64)" in printed
    assert "failures follow from others" in printed


def test_stages_have_no_circle() -> None:
    assert list(graphlib.TopologicalSorter(earlier()).static_order())


def test_a_failure_of_one_of_a_pair_explains_the_pairs() -> None:
    def failed(check: str, subject: str, dtype: str = "float64") -> Outcome:
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


def test_one_precision_can_be_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "outcomes.json"
    options = ["--check", "target_matches", "--dtype", "float32", "--json", str(file)]
    assert main(["verify", "reference", *options]) == 0
    assert {o["dtype"] for o in json.loads(file.read_text())["outcomes"]} == {"float32"}
    capsys.readouterr()


@pytest.mark.parametrize("package", [True, False])
def test_a_subject_can_be_named_by_its_file(
    package: bool, subject: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = subject("globals().update(own('target'))")
    folder = Path(f"port_{name}")
    folder.mkdir()
    file = folder / f"inner_{name}.py"
    if package:
        (folder / "__init__.py").touch()
        (folder / "helper.py").write_text("")
        file.write_text(Path(f"{name}.py").read_text() + "\nfrom . import helper")
    else:
        file.write_text(Path(f"{name}.py").read_text())
    assert main(["verify", f"./{file}", "--check", "target_matches"]) == 0
    assert f"inner_{name}" in capsys.readouterr().out


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
    files: dict[str, str], imported: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
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


def test_a_folder_of_outputs_named_results_is_no_obstacle(
    subject: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = subject("globals().update(own('target'))\nfrom results.schema import Record")
    Path("results").mkdir()
    Path("results/samples.png").touch()
    assert main(["verify", name, "--check", "target_matches"]) == 0
    capsys.readouterr()
