"""The printed table: 80 columns, names whole, cells apart."""

import pytest

from verify.checks import all_checks
from verify.outcome import FAIL, NOT_APPLICABLE, PAIR, PASS, Outcome, Report
from verify.table import table, tables

LONG = "my_very_long_port_of_meanflow.subject"
SUBJECTS = ("impls.meanflow_jax", "impls.meanflow_torch")
CELLS = [(FAIL, 3e-1), (PASS, 1e100), (PASS, 7e-15), (FAIL, float("inf")), (FAIL, None)]


def outcomes(subjects, dtypes=("float64", "float32")):
    """Every check on every subject, each with another error."""
    kinds = [(name, check.family) for name, check in all_checks().items()]
    made = []
    for number, (name, family) in enumerate(kinds):
        for place, (subject, dtype) in enumerate((s, d) for s in subjects for d in dtypes):
            status, error = CELLS[(number + place) % len(CELLS)]
            made.append(Outcome(name, family, subject, dtype, status, error, 7e-15, ""))
    return made


@pytest.mark.parametrize("dtypes", [("float64", "float32"), ("float32",)])
@pytest.mark.parametrize(
    "subjects",
    [SUBJECTS, (LONG,), ("reference", *SUBJECTS), (LONG, "x"), (f"{LONG}{PAIR}{LONG}", "a ~ b")],
)
def test_lines_fit_names_are_whole_and_cells_apart(subjects, dtypes):
    found = outcomes(subjects, dtypes)
    report = Report(found, dict.fromkeys({o.family for o in found}, 1234.0))
    said = [text.plain for text in tables(found, report)]
    lines = [line for text in said for line in text.splitlines()]
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    for name in all_checks():
        assert any(line.strip() == name or line.startswith(f" {name} ") for line in lines)
    for family, count in report.seconds.items():
        assert any(line.startswith(family) and line.endswith(f"{count:.0f} s") for line in lines)
    cells = {word for line in lines for word in line.split() if "e" in word and "-" in word}
    assert cells <= {"X3e-01", "7e-15"} | {w for o in found for w in o.check.split()}
    numbers = sum(line.split().count("X3e-01") for line in lines)
    assert numbers == sum(o.error == 3e-1 for o in found)


def test_two_subjects_whose_names_fit_share_a_table():
    def shared(subjects, **options):
        found = outcomes(subjects, **options)
        return len([*tables(found, Report(found))])

    assert shared(SUBJECTS) == 1
    assert shared(("reference", *SUBJECTS)) == 2
    assert shared(("reference", "impls.meanflow_jax"), dtypes=("float32",)) == 1


def test_what_a_stopped_run_did_not_judge_is_left_empty():
    one, two = (
        Outcome("target_matches", "objective", "impls.meanflow_jax", dtype, status, error, None, "")
        for dtype, status, error in (("float64", PASS, 0.0), ("float32", NOT_APPLICABLE, None))
    )
    both = table([one, two], [*SUBJECTS], Report())
    assert both.plain.splitlines()[-1].split() == ["target_matches", "0", "-"]
