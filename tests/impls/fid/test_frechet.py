"""The Fréchet distance on cases with a known answer, streaming moments, intervals, both scores."""

from functools import reduce

import numpy as np
import pytest

from impls.common import draws
from impls.common.draws import Stream
from impls.common.errors import UserError
from impls.fid.distance import frechet_distance
from impls.fid.moments import MomentGroups, group_numbers, merge, moments, without
from impls.fid.scores import add_sums, fid, frechet_score, inception_score, score_sums
from impls.fid.statistics import Statistics
from reference import frechet


def normal(*shape, key=0):
    return draws.normal(shape, 8, Stream.CHECK, key).astype(np.float64)


def rotation(size, key=0):
    return np.linalg.qr(normal(size, size, key=key))[0]


def covariance(size, rank, key=0):
    factor = normal(size, rank, key=key)
    return factor @ factor.T / rank


# ----------------------------------------------------------------------------- the distance


SOME, SCATTERED = np.abs(normal(50, key=4)) + 0.1, np.logspace(-10, 3, 60)


@pytest.mark.parametrize(
    ("one", "two", "moved", "accuracy"),
    [
        (np.array([0.3]), np.array([2.0]), 1, 1e-12),
        (SOME, SOME * (np.arange(50) < 6), 0, 1e-12),
        (SCATTERED, SCATTERED[::-1], 0, 1e-10),
    ],
    ids=["of 1", "of ranks that differ", "widely scattered"],
)
def test_distance_of_covariances_of_the_same_axes_is_that_of_their_roots(one, two, moved, accuracy):
    turn, shift = rotation(len(one)), moved * normal(len(one), key=2)
    given = np.zeros(len(one)), (turn * one) @ turn.T, shift, (turn * two) @ turn.T
    expected = shift @ shift + ((one**0.5 - two**0.5) ** 2).sum()
    assert frechet_distance(*given) == pytest.approx(expected, rel=accuracy)


@pytest.mark.parametrize("rank", [1, 5])
@pytest.mark.parametrize("degrees", [0, 0.001, 30, 89.999, 90])
def test_distance_of_planes_at_an_angle_is_right(degrees, rank):
    """U diag(a) U^T and V diag(b) V^T with U^T V = diag(cos): the root's trace is known."""
    size = 40
    turn, one, two = rotation(size), *np.abs(normal(2, rank, key=3))
    cos, sin = (f(np.radians(degrees)) for f in (np.cos, np.sin))
    u = turn[:, :rank]
    v = turn[:, :rank] * cos + turn[:, rank : 2 * rank] * sin
    found = frechet_distance(np.zeros(size), (u * one) @ u.T, np.zeros(size), (v * two) @ v.T)
    expected = one.sum() + two.sum() - 2 * cos * np.sqrt(one * two).sum()
    # A root of an eigenvalue that should be 0 would already be wrong by 1e-8.
    assert found == pytest.approx(expected, abs=1e-13 * (one.sum() + two.sum()) * size)


@pytest.mark.parametrize("which", range(4))
def test_what_is_not_finite_is_refused(which):
    arguments = [normal(5), covariance(5, 5), normal(5, key=1), covariance(5, 5, key=1)]
    arguments[which] = arguments[which].copy()
    arguments[which][2] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(*arguments)


@pytest.mark.filterwarnings("ignore:The .disp. argument is deprecated")  # clean-fid's own call
def test_distance_is_that_of_clean_fid():
    pytest.importorskip("torch")
    from impls.meanflow_torch.vision.torchvision_operators import import_torchvision

    import_torchvision()
    theirs = pytest.importorskip("cleanfid.fid").frechet_distance
    a, b = normal(512, 128), normal(384, 128, key=1) @ (rotation(128) + 0.1) + 0.3
    arguments = [*frechet.moments(a), *frechet.moments(b)]
    assert frechet_distance(*arguments) == pytest.approx(theirs(*arguments), rel=1e-9)


@pytest.mark.slow
def test_distance_of_fewer_samples_than_features_is_right_at_full_size():
    features = normal(1000, 2048)
    mean, cov = frechet.moments(features)
    assert abs(frechet_distance(mean, cov, mean, cov)) < 1e-10 * np.trace(cov)
    expected = 0.01 * np.trace(cov) + mean @ mean * 0.01
    assert frechet_distance(mean, cov, 1.1 * mean, 1.21 * cov) == pytest.approx(expected, rel=1e-9)


# ------------------------------------------------------------------------------- moments


def batches(features, size):
    return [features[start : start + size] for start in range(0, len(features), size)]


@pytest.mark.parametrize("size", [1, 10, 500])
def test_moments_of_batches_are_those_of_all_though_the_mean_is_large(size):
    """A sum of squares minus a square of sums would lose all digits here."""
    features = normal(500, 3) + 1e8
    found = reduce(merge, map(moments, batches(features, size)))
    assert found.num_samples == 500
    np.testing.assert_allclose(found.mean, features.mean(0), rtol=1e-13)
    expected = np.cov(features - 1e8, rowvar=False)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-6, atol=1e-7)


def test_leaving_a_part_out_is_the_way_back_from_merging():
    one, other = moments(normal(40, 5) + 2), moments(normal(9, 5, key=1))
    found = without(merge(one, other), other)
    assert found.num_samples == 40
    np.testing.assert_allclose(found.mean, one.mean, rtol=1e-13)
    np.testing.assert_allclose(found.scatter, one.scatter, rtol=1e-11, atol=1e-12)


def test_merging_with_nothing_changes_nothing():
    one, nothing = moments(normal(4, 3)), moments(np.zeros((0, 3)))
    assert merge(one, nothing) is one
    assert merge(nothing, one) is one


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_samples_have_no_covariance(count):
    with pytest.raises(ValueError, match=f"^{count} samples have no covariance"):
        _ = moments(normal(count, 3)).covariance


def test_groups_depend_neither_on_the_batches_nor_on_the_processes():
    features, dealt = normal(12000, 2), group_numbers(0, 12000, 4)
    whole = [MomentGroups(4) for _ in range(2)]
    for groups, size in zip(whole, (64, 12000), strict=True):
        for batch in batches(features, size):
            groups.add(batch)
    parts = [MomentGroups(4, first=first) for first in (0, 5000)]
    parts[0].add(features[:5000])
    parts[1].add(features[5000:])
    parts[0].add_groups(parts[1].groups())
    for groups in (*whole, parts[0]):
        for number, group in enumerate(groups.groups()):
            expected = moments(features[dealt == number])
            assert group.num_samples == expected.num_samples
            np.testing.assert_allclose(group.mean, expected.mean, rtol=1e-10)
            np.testing.assert_allclose(group.scatter, expected.scatter, rtol=1e-11)


@pytest.mark.parametrize("num_classes", [10, 100, 1000])
def test_a_group_holds_every_class_when_labels_go_in_turn(num_classes):
    groups = group_numbers(0, 50000, 20)
    counts = np.zeros((20, num_classes), int)
    np.add.at(counts, (groups, np.arange(50000) % num_classes), 1)
    mean = 50000 / 20 / num_classes
    assert counts.min() >= max(1, mean - 4)
    assert counts.max() <= mean + 4


# --------------------------------------------------------------------------------- scores


def problem(size):
    """Reference, then mean and root of the covariance of a model, and their true distance."""
    reference = Statistics(np.zeros(size), np.eye(size))
    root = np.diag(1 + 0.3 * np.linspace(-1, 1, size))
    mean = np.full(size, 0.2)
    return reference, mean, root, frechet_distance(*reference[:2], mean, root @ root)


def score_of(features, reference):
    groups = MomentGroups()
    groups.add(features)
    return frechet_score(groups.groups(), reference)


def scores_of_trials(size, count, trials):
    """Scores of samples of a known normal, each with draws of its own."""
    reference, mean, root, _ = problem(size)
    samples = (normal(count, size, key=1000 + trial) @ root + mean for trial in range(trials))
    return [score_of(features, reference) for features in samples]


def test_score_is_the_distance_of_all_samples():
    reference, mean, root, _ = problem(5)
    features = normal(400, 5) @ root + mean
    score = score_of(features, reference)
    expected = frechet_distance(*frechet.moments(features), *reference[:2])
    assert score.value == pytest.approx(expected, rel=1e-11)
    assert fid(moments(features), reference) == pytest.approx(expected, rel=1e-11)
    assert score.num_samples == 400
    assert score.low < score.value < score.high


def test_interval_covers_as_often_as_it_says():
    """300 times 500 samples of a known normal: 95 % of the intervals must hold what they are of."""
    scores, true = scores_of_trials(6, 500, 300), problem(6)[-1]
    expected = np.mean([score.value for score in scores])  # at 500 samples
    assert expected - true > 0.02 * true  # biased upward: the true value is not what they cover
    share = np.mean([score.low <= expected <= score.high for score in scores])
    assert 0.91 <= share <= 0.985
    error = np.std([score.value for score in scores])
    assert np.mean([score.standard_error for score in scores]) == pytest.approx(error, rel=0.1)
    # Less its bias, the value is about the true distance, and so is the interval.
    left = np.mean([score.value - score.bias for score in scores]) - true
    assert abs(left) < 0.2 * (expected - true)
    moved = np.mean([score.low <= true + score.bias <= score.high for score in scores])
    assert 0.9 <= moved <= 0.985


@pytest.mark.parametrize(("count", "least"), [(24, 0.99), (64, 0.95), (200, 0.93)])
def test_interval_of_few_samples_is_too_wide_rather_than_too_narrow(count, least):
    """32 features: from fewer samples than features, whose covariance has not full rank, on."""
    scores = scores_of_trials(32, count, 100)
    expected = np.mean([score.value for score in scores])
    assert np.mean([score.low <= expected <= score.high for score in scores]) >= least


@pytest.mark.parametrize(
    ("score", "says"),
    [
        (lambda: score_of(normal(100, 4), problem(5)[0]), "have 5 features and the samples 4: m"),
        (lambda: score_of(normal(1, 4), problem(4)[0]), "^1 samples are too few for FID"),
        (lambda: score_of(normal(2, 4), problem(4)[0]), "^2 samples are too few for FID"),
        (
            lambda: inception_score(score_sums(normal(9, 3), normal(5, 3), 0, 9)),
            "9 samples are too few for the Inception score in 10",
        ),
    ],
)
def test_scores_of_too_few_samples_or_other_features_are_refused(score, says):
    with pytest.raises(UserError, match=says):
        score()


def direct_inception_score(features, weight, splits):
    p = np.exp(features @ weight.T)
    p /= p.sum(1, keepdims=True)
    scores = []
    for number in range(splits):
        part = p[number * len(p) // splits : (number + 1) * len(p) // splits]
        divergence = (part * (np.log(part) - np.log(part.mean(0)))).sum(1)
        scores.append(np.exp(divergence.mean()))
    return np.mean(scores), np.std(scores)


@pytest.mark.parametrize(("count", "splits"), [(200, 10), (203, 10), (57, 4)])
def test_inception_score_in_batches_is_the_direct_formula(count, splits):
    features, weight = normal(count, 6), normal(9, 6, key=1)
    sums = [
        score_sums(batch, weight, 16 * number, count, splits)
        for number, batch in enumerate(batches(features, 16))
    ]
    found = inception_score(reduce(add_sums, sums))
    assert found == pytest.approx(direct_inception_score(features, weight, splits), rel=1e-12)


def test_inception_score_is_1_where_all_look_alike_and_the_classes_where_they_do_not():
    alike = score_sums(np.ones((40, 3)), normal(5, 3), 0, 40)
    assert inception_score(alike) == pytest.approx((1, 0), abs=1e-12)
    sure = score_sums(np.tile(1e4 * np.eye(4), (10, 1)), np.eye(4), 0, 40)
    assert inception_score(sure) == pytest.approx((4, 0), abs=1e-9)
