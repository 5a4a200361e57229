"""Mutation tests of the checks: every check fails for the bug that it is there to catch."""

import functools
import importlib.util
from types import ModuleType

import numpy as np
import pytest

import reference
from meanflow_repro import main
from verify.cases import cases
from verify.checks import all_checks
from verify.golden import BUNDLED, load_golden, load_trainings
from verify.mutants import MUTANTS, Mutant, plant, planted
from verify.mutants.plant import SHARED
from verify.registry import Check, NotApplicable
from verify.runner import run

FEW = (
    "guided", "odd_batch", "latent", "omega", "unguided", "window", "uniform", "many_dropped",
)  # fmt: skip

golden = functools.cache(lambda: load_golden(BUNDLED))
trainings = functools.cache(lambda: load_trainings(BUNDLED))


def outcomes(subject, names, dtype):
    """Outcomes of a subject's own checks, and of the cross checks against an intact partner.

    The partner is the reference; where it cannot answer, having no checkpoints, it is PyTorch.
    """
    checks, found = [check for name, check in all_checks().items() if name in names], []
    for partner in ("", "reference", "impls.meanflow_torch"):
        if not (chosen := [check for check in checks if partner_of(check) == partner]):
            continue
        subjects = [("subject", subject)]
        if partner:
            subjects.append(("partner", importlib.import_module(partner)))
        dtypes = (np.dtype(dtype).type,)
        found += run(subjects, chosen, golden(), trainings=trainings(), dtypes=dtypes).outcomes
    return found


def partner_of(check):
    if check.family != "cross":
        return ""
    answers = all(hasattr(reference, need.split("|")[-1]) for need in check.needs)
    return "reference" if answers else "impls.meanflow_torch"


def failed(found):
    return {outcome.check for outcome in found if outcome.status == "fail"}


@pytest.fixture(autouse=True)
def in_haste(monkeypatch):
    """Half of the cases, those whose settings the checks ask for by name among them."""
    few = tuple(case for case in cases() if case.name in FEW)
    monkeypatch.setattr("verify.runner.cases", lambda: few)
    if importlib.util.find_spec("torch"):
        importlib.import_module("torch").set_num_threads(1)  # the arrays are tiny


# ------------------------------------------------------------------------------ the mutants


@pytest.mark.soak("mutants", of="mutant")
@pytest.mark.parametrize(
    ("package", "mutant"), [(m.package, m) for m in MUTANTS], ids=[m.name for m in MUTANTS]
)
def test_mutant_is_caught(package, mutant):
    if mutant.framework:
        pytest.importorskip(mutant.framework)
    with planted(mutant) as subject:
        found = outcomes(subject, mutant.caught_by, mutant.dtype)
    assert failed(found) == set(mutant.caught_by)


@pytest.mark.parametrize(("name", "dtype"), sorted({(m.subject, m.dtype) for m in MUTANTS}))
def test_intact_subject_passes_what_its_mutants_fail(name, dtype):
    mutants = [m for m in MUTANTS if (m.subject, m.dtype) == (name, dtype)]
    if mutants[0].framework:
        pytest.importorskip(mutants[0].framework)
    names = {check for mutant in mutants for check in mutant.caught_by}
    found = outcomes(importlib.import_module(name), names, dtype)
    assert {outcome.check for outcome in found if outcome.status == "pass"} == names


def test_every_check_has_a_mutant_that_it_must_catch():
    caught = {name for mutant in MUTANTS for name in mutant.caught_by}
    assert caught == set(all_checks())


def test_every_mutant_can_be_planted():
    """Also those that the suite does not run: few of them are."""
    for mutant in MUTANTS:
        assert mutant.source() != (plant.ROOT / mutant.package / mutant.file).read_text()


def test_mutants_have_names_of_their_own():
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names)


def test_original_is_intact_after_a_mutant_of_shared_code():
    pytest.importorskip("torch")
    mutant = next(m for m in MUTANTS if m.package == SHARED)
    with planted(mutant) as subject:
        assert failed(outcomes(subject, mutant.caught_by, "float64"))
    assert not failed(outcomes(subject, mutant.caught_by, "float64"))


def test_mutant_of_a_text_that_is_not_there_is_refused():
    mutant = Mutant("nonsense", "reference", "sample.py", "no such text", "", ())
    with pytest.raises(ValueError, match=r"occurs 0 times in reference/sample\.py, expected once"):
        mutant.source()


def test_command_ends_with_status_1_and_names_the_check(capsys):
    mutant = next(m for m in MUTANTS if m.name == "the tangent is (v, 0, 0)")
    with planted(mutant) as subject:
        command = ["verify", subject.__name__, "--check", "jvp_matches_hand_written_tangents"]
        assert main(command) == 1
    assert "jvp_matches_hand_written_tangents" in capsys.readouterr().out
    assert main(["verify", "reference", *command[2:]]) == 0


# ------------------------------------------------------------------------------- the runner


def one_outcome(function, subject=reference):
    """What the runner makes of a check with this function."""
    made = Check("made_up", "network", function, (), exact=True, like="made_up")
    report = run([("subject", subject)], [made], (), dtypes=(np.float64,))
    assert len(report.outcomes) == 1
    assert report.failed == [o for o in report.outcomes if o.status == "fail"]
    return report.outcomes[0]


def raising(error):
    def function(probe):
        raise error

    return function


def yielding(*answers):
    return lambda probe: (("here", answer) for answer in answers)


@pytest.mark.parametrize("answer", [None, True, False, "0", [0.0], 0])
def test_check_that_gives_no_float_fails_and_says_what(answer):
    for function in (lambda probe: answer, yielding(0.0, answer)):
        outcome = one_outcome(function)
        assert outcome.status == "fail"
        assert f"returned {answer!r}" in outcome.detail


@pytest.mark.parametrize("nan", [float("nan"), np.float32("nan"), np.float64("nan")])
def test_check_that_gives_nan_fails(nan):
    assert one_outcome(lambda probe: nan).status == "fail"
    assert one_outcome(yielding(0.0, nan, 0.0)).status == "fail"


@pytest.mark.parametrize(
    ("function", "status", "says"),
    [
        (raising(KeyError("blocks_7")), "fail", "raised KeyError: 'blocks_7'"),
        (raising(NotApplicable("no golden folder")), "n/a", "no golden folder"),
        (yielding(NotApplicable("no u")), "n/a", "no u"),
        (yielding(), "fail", "the check compared nothing"),
        (lambda probe: 0.0, "pass", ""),
        (lambda probe: 1e-300, "fail", ""),
    ],
)
def test_check_ends_with_its_status_and_says_why(function, status, says):
    outcome = one_outcome(function)
    assert outcome.status == status
    assert says in outcome.detail


class Raising(ModuleType):
    """A subject whose every function raises."""

    def __getattr__(self, name):
        def function(*args):
            raise RuntimeError(f"{name} is broken")

        return function


def test_subject_that_raises_fails_every_check_that_calls_it():
    names = [name for name, check in all_checks().items() if check.family != "cross"]
    raising = Raising("raising")
    found = [o for dtype in ("float64", "float32") for o in outcomes(raising, names, dtype)]
    # These ask nothing of the subject: they are about the shared draws, data and distance.
    unasked = {"draws_depend_on_every_index", "draws_follow_their_laws"}
    unasked |= {"frechet_distance_matches_its_definition"}
    unasked |= {name for name, check in all_checks().items() if check.family == "data"}
    assert failed(found) == set(names) - unasked
    raised = [outcome for outcome in found if outcome.status == "fail"]
    assert all("RuntimeError" in outcome.detail for outcome in raised)


U, S = "forward(size, params, z, t, h, labels).u", "((u - u_target) ** 2).sum((1, 2, 3))"


@pytest.mark.parametrize(
    ("file", "text", "more", "check", "says"),
    [
        ("network.py", U, " * np.nan", "mean_velocity_matches", "not a number"),
        ("objective.py", S, "[:1]", "squared_error_is_a_sum", "returned shape (1,)"),
    ],
)
def test_subject_that_answers_nan_or_in_another_shape_fails(file, text, more, check, says):
    with planted(Mutant(says, "reference", file, text, text + more, (check,))) as subject:
        (outcome,) = outcomes(subject, (check,), "float64")
    assert outcome.status == "fail"
    assert says in outcome.detail
