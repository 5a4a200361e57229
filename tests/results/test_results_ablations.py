"""The tables of ablations: their arithmetic, what is decided, and what is said of missing runs."""

from itertools import combinations

import pytest
from results_records import record
from scipy import stats

from results.published import published
from results.tabulate.ablations import (
    DISTANCE,
    GROUPS,
    ablation_order,
    ablations,
    difference,
    measured,
    order,
    setting_of,
)
from results.tabulate.cells import JAX, NAMES, text

SEEDS = (42, 43, 44)
NOISE = dict(zip(SEEDS, (0.0, 0.01, -0.01), strict=True))


def run(preset, seed, value, subject=JAX):
    settings = {"preset": preset, "training_seed": seed, "num_steps": 1}
    return record(
        subject=subject, what=DISTANCE, value=value, interval=None, settings=settings,
        digest=f"{preset} {seed}",
    )  # fmt: skip


def runs(*values):
    return {seed: run("x", seed, value) for seed, value in zip(SEEDS, values, strict=False)}


def as_in_the_paper(**changed):
    """Distances that are the paper's FIDs, the same for every seed but for a little noise."""
    values = {str(n.small): n.value for group in GROUPS for n in published(group)}
    values |= {f"ablation/{name}": value for name, value in changed.items()}
    return [
        run(preset, seed, None if value is None else value + NOISE[seed], subject)
        for subject in NAMES
        for preset, value in values.items()
        for seed in SEEDS
    ]


def row_of(table, *words):
    (found,) = [
        cells for row in table.rows if (cells := [*map(text, row)])[: len(words)] == [*words]
    ]
    return found


def test_a_difference_is_that_of_the_same_seeds_with_students_interval():
    found = difference(runs(2.0, 2.4, 2.2), runs(1.0, 1.1, 1.5))
    expected = stats.ttest_1samp([1.0, 1.3, 0.7], 0).confidence_interval(0.95)
    assert found == pytest.approx((1.0, *expected))
    assert difference(runs(200.0), runs(1.0)).mean == 199.0


@pytest.mark.parametrize(
    ("one", "other", "sign"),
    [
        ((2.0, 2.4, 2.2), (1.0, 1.1, 1.5), 1),
        ((1.0, 1.1, 1.5), (2.0, 2.4, 2.2), -1),
        ((2.0, 2.4, 2.2), (2.1, 2.1, 2.1), 0),  # noise explains it
        ((200.0,), (1.0,), 0),  # one seed decides nothing
        ((None,), (1.0,), 0),
        ((None, None, None), (9.0, 9.0, 9.0), 1),  # what came to nothing is worse than any
        ((1.0, 1.1, 0.9), (None, 9.0, 9.0), -1),
        ((None, 1.0, 1.0), (None, 9.0, 9.0), 0),
    ],
)
def test_a_difference_is_decided_or_open(one, other, sign):
    assert difference(runs(*one), runs(*other)).sign == sign


def test_a_difference_without_a_seed_in_common_is_not_measured():
    records = [run("ablation/default", 42, 3.0), run("ablation/share_0", 43, 5.0)]
    cells = row_of(ablations(records), "(a) share of r != t", "0 %")
    assert (cells[3], cells[5]) == ("5.00 (5.00 to 5.00)", "not measured")


def test_the_newest_run_of_a_seed_counts():
    old, new = run("ablation/default", 42, 3.0), run("ablation/default", 42, 2.0)
    assert measured([old, new])[JAX, "ablation/default"] == {42: new}


@pytest.mark.parametrize(
    "other",
    [
        {"num_steps": 2}, {"num_samples": 100}, {"sampling_seed": 1}, {"weights": "params"},
        {"training_step": 900}, {"preset": "ablation/that_was_once"},
    ],
)  # fmt: skip
def test_a_score_of_something_else_of_a_run_does_not_count(other):
    first = run("ablation/default", 42, 3.0)
    later = first.model_copy(update={"settings": first.settings | other, "value": 2.0})
    assert measured([first, later]) == {(JAX, "ablation/default"): {42: first}}


@pytest.mark.parametrize("group", GROUPS)
def test_the_papers_own_order_is_kept_in_every_pair(group):
    rows = published(group)
    found = measured(as_in_the_paper())
    kept = order(rows, {str(n.small): found[JAX, str(n.small)] for n in rows})
    assert kept == (len([*combinations(rows, 2)]), 0, [], pytest.approx(1.0))


def test_a_pair_the_other_way_round_is_counted_and_the_lead_is_told():
    table = ablation_order(as_in_the_paper(share_100=60.0))
    cells = row_of(table, "(a) share of r != t", "25 %")
    assert cells[2].startswith("100 %, by -1.06 (-1.06 to -1.06): decided")
    assert cells[4] == "4 / 0 / 2; 0.33"
    said = text(table.notes[-1])
    assert said.startswith("Reversed pairs: (a) 100 % before 25 % (JAX); ")
    assert "(a) 100 % before 50 % (PyTorch)" in said


def test_what_is_best_here_and_open_is_said_to_be():
    values = zip(SEEDS, (59.0, 63.5, 60.0), strict=True)
    newer = [run("ablation/share_50", seed, value) for seed, value in values]
    records = [*as_in_the_paper(), *newer]
    cells = row_of(ablation_order(records), "(a) share of r != t")
    assert cells[2].startswith("50 %, by -0.23 (")
    assert cells[2].endswith("): open")


def test_every_row_of_the_paper_stands_beside_ours():
    table = ablations(as_in_the_paper())
    assert len(table.rows) == sum(len(published(group)) for group in GROUPS)
    for group, title in GROUPS.items():
        for number in published(group):
            cells = row_of(table, title, setting_of(number).text, number.printed)
            assert cells[3].startswith(f"{number.value:.2f} (")
    assert row_of(table, "(b) tangent of the JVP", "(v, 1, 1)")[5] == "+76.90 (+76.90 to +76.90)"


def test_what_was_not_run_or_was_not_finite_is_said():
    records = [
        r for r in as_in_the_paper(tangent_v10=None) if r.settings["preset"] != "ablation/uniform"
    ]
    table = ablations(records)
    assert row_of(table, "(b) tangent of the JVP", "(v, 1, 0)")[3:] == ["not finite"] * 4
    assert row_of(table, "(d) distribution of times", "uniform(0, 1)")[3:] == ["not measured"] * 4
    assert row_of(ablation_order(records), "(d) distribution of times")[2:] == ["not measured"] * 4
    assert row_of(ablation_order(records), "(b) tangent of the JVP")[4] == "6 / 0 / 0; 1.00"
