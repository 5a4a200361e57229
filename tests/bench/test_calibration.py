"""Published step times are predicted from each other."""

import math

import pytest

from bench.chips import machine
from bench.plan import calibration
from bench.plan.calibration import at_peak, largest_error, predictions, published_runs, utilisation
from bench.plan.work import Work
from results.published import published

SAME_KIND, OTHER_KIND = 1.5, 2.0  # factors within which a published time must be predicted
# A published time that no model of FLOPs and bytes can give beside the others of its chip.
CONTRADICTS = {("8xA100", "tf32")}


def name(prediction):
    setting = prediction.run.number.setting
    return prediction.run.machine.name, setting.get("products")


def test_each_published_time_is_predicted_by_the_others():
    found = predictions()
    assert len(found) == len(published("step_time"))
    far = {name(one) for one in found if not one.ratio(one.same) <= SAME_KIND}
    further = {name(one) for one in found if not one.ratio(one.other) <= OTHER_KIND}
    left_out = {name(one) for one in found if not one.run.is_calibrated}
    assert far == further == left_out == CONTRADICTS


def test_the_time_that_is_not_calibrated_on_contradicts_another_of_its_chip():
    """More than twice the seconds for the same work, in the same products, on the same chip."""
    runs = {
        run.machine.name: run
        for run in published_runs()
        if "precision" not in run.number.setting and run.number.setting.get("products") != "float32"
    }
    slow, fast = runs["8xA100"], runs["1xA100"]
    assert not slow.is_calibrated
    assert fast.is_calibrated
    assert fast.utilisation / slow.utilisation > 2


def test_a_prediction_does_not_know_its_own_time(monkeypatch):
    """Another published time moves the predictions of the other runs, not its own."""
    before = predictions()
    runs = list(published_runs())
    runs[0] = runs[0]._replace(seconds=2 * runs[0].seconds)
    monkeypatch.setattr(calibration, "published_runs", lambda: tuple(runs))
    after = predictions()
    assert after[0].same == before[0].same
    assert after[1].same == pytest.approx(before[1].same * math.sqrt(2))
    assert after[-1].same == before[-1].same  # of the other kind


def test_the_sum_of_both_times_predicts_better_than_the_larger_one(monkeypatch):
    sums = largest_error("tpu"), largest_error("gpu")

    def larger(on, work, precision):
        alone = Work(work.flops, 0), Work(0, work.bytes)
        return max(at_peak(on, one, precision) for one in alone)

    monkeypatch.setattr(calibration, "at_peak", larger)
    published_runs.cache_clear()
    try:
        roofline = largest_error("tpu"), largest_error("gpu")
    finally:
        published_runs.cache_clear()
    assert max(sums) < max(roofline)


def test_utilisation_is_a_share_of_the_peaks():
    for run in published_runs():
        assert 0.2 < run.utilisation < 1
    assert 0.4 < utilisation("tpu") < 0.6
    assert 0.4 < utilisation("gpu") < 0.6


def test_a_chip_of_two_devices_shares_its_peaks():
    work = Work(123e12, 900e9)
    assert at_peak(machine("v3-8"), work, "bfloat16") == pytest.approx(4)
    assert at_peak(machine("1xA100"), work, "float32") == pytest.approx(123 / 19.5 + 900 / 2039)
