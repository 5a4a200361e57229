"""Laws of times, rows with r = t and label dropout: each departure named by one line."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, special, stats
from simulated_times import (
    Port,
    batch_coin,
    coin,
    exact_rows,
    first_rows,
    last_rows,
    port,
    sigmoid,
)

from verify.ports.laws import densities, findings, labels, law, rows, statistics
from verify.ports.settings import OFFICIAL, Settings, claimed

NUM_ROWS, BATCH = 4096, 128
ROWS, DROPOUT, TIMES = "rows with r = t", "label dropout", "law of times"


def lines(a_port, expected=None, official=None, **sizes):
    official = official or expected or OFFICIAL["imagenet"]
    sizes = {"num_rows": NUM_ROWS, "batch": BATCH, **sizes}
    return findings(a_port, expected or official, official, **sizes)


def wrong(found):
    return [(line.what, line.code) for line in found if line.verdict != "same"]


@pytest.mark.parametrize("preset", OFFICIAL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_official_port_has_one_line_a_heading(preset, dtype):
    a_port = port(preset, dtype=dtype, labels=preset == "imagenet")
    found = findings(a_port, OFFICIAL[preset], OFFICIAL[preset])
    headings = [ROWS, DROPOUT, TIMES] if preset == "imagenet" else [ROWS, TIMES]
    assert [(line.what, line.verdict) for line in found] == [(name, "same") for name in headings]
    assert a_port.num_rows < 20_000
    settings, code = OFFICIAL[preset], found[-1].code
    numbers = [float(x) for x in re.findall(r"(?:mean|std) (-?[\d.]+)", code)]
    known = [settings.P_mean_t, settings.P_std_t, settings.P_mean_r, settings.P_std_r]
    np.testing.assert_allclose(numbers, known[: len(numbers)], atol=0.08)


def from_bits(generator, shape, share, a, b):
    """Mask from the bits that made the normals of t, as with one JAX key for both."""
    return special.ndtr(special.logit(a) + 0.4) < share


def fixed_number(generator, shape, share):
    return np.broadcast_to(np.arange(shape[1]) < int(share * shape[1]), shape)


def last_labels(generator, shape, share):
    number = coin(generator, shape, share).sum(1)[:, None]
    return np.arange(shape[1])[::-1] < number


def in_equal_rows(generator, shape, share):
    """Labels dropped in rows with r = t alone, the first three quarters."""
    return coin(generator, shape, share / 0.75) & (np.arange(shape[1]) < 0.75 * shape[1])


def scaled(low, high):
    return lambda generator, a, b: (low + (high - low) * a, low + (high - low) * b)


def again_within(c):
    return lambda generator, shape: stats.truncnorm.rvs(
        -c, c, size=(2, *shape), random_state=generator
    )


def clipped_normals(generator, shape):
    return generator.normal(size=(2, *shape)).clip(-2, 2)


def clipped_times(generator, t, r):
    return t.clip(0.1, 0.9), r.clip(0.1, 0.9)


def one_in_ten(generator, t, r):
    return np.where(generator.random(t.shape) < 0.1, 1.0, t), r


def one_before(generator, a, b):
    return np.where(generator.random(a.shape) < 0.1, 1.0, a), b


def on_a_grid(generator, a, b):
    return np.floor(a * 1000) / 1000, np.floor(b * 1000) / 1000


def one_a_call(generator, a, b):
    return np.repeat(a[:, :1], a.shape[1], 1), np.repeat(b[:, :1], a.shape[1], 1)


def antithetic(generator, shape):
    half = generator.normal(size=(2, shape[0], shape[1] // 2))
    return np.concatenate([half, -half], 2)


def stratified(generator, shape):
    cells = np.arange(shape[1]) + generator.random((2, *shape))
    return special.ndtri(generator.permuted(cells / shape[1], axis=2).clip(1e-9, 1 - 1e-9))


def in_order(generator, shape):
    return np.sort(generator.normal(size=(2, *shape)), axis=2)


def one_draw(generator, shape):
    return np.stack([generator.normal(size=shape)] * 2)


def correlated(generator, shape):
    n = generator.normal(size=(2, *shape))
    return np.stack([n[0], 0.6 * n[0] + 0.8 * n[1]])


def fixed_step(generator, t, r):
    return t, np.where(t == r, t, np.maximum(t - 0.01, 0))


# name: preset, departures, heading, pattern of the line's code
# fmt: off
DEPARTURES = {
    "share": ("imagenet", {"changes": {"data_proportion": 0.25}}, ROWS,
        r"^0\.25: exactly 32 of 128"),
    "no row": ("imagenet", {"changes": {"data_proportion": 0.0}}, ROWS, r"^no row"),
    "all rows": ("imagenet", {"changes": {"data_proportion": 1.0}}, ROWS, r"^all rows"),
    "coin": ("imagenet", {"mask": coin}, ROWS, r"^0\.7\d+ ± .*a coin per row"),
    "batch": ("imagenet", {"mask": batch_coin}, ROWS, r"coin per batch"),
    "last": ("imagenet", {"mask": last_rows}, ROWS, r"the last ones"),
    "random": ("imagenet", {"mask": exact_rows}, ROWS, r"exactly 96 of 128, random"),
    "round": ("imagenet", {"mask": first_rows(round)}, ROWS, r"round\(0\.75 B\)"),
    "ceil": ("imagenet", {"mask": first_rows(math.ceil)}, ROWS, r"ceil\(0\.75 B\)"),
    "below t": ("imagenet", {"mask": lambda g, shape, p, a, b: np.maximum(a, b) < 0.6},
                ROWS, r"r = t where t < 0\.6"),
    "shared bits": ("imagenet", {"mask": from_bits}, ROWS, r"shares its random numbers"),
    "likelier at great t": ("imagenet", {"mask": lambda g, shape, p, a, b: coin(g, shape, a)},
                            ROWS, r"dependent on t|shares"),
    "v0 first": ("cifar10_v0", {"mask": first_rows(int)}, ROWS, r"exactly 32 of 128, the first"),
    "v1 inverted": ("cifar10_v1", {"changes": {"data_proportion": 0.75}}, ROWS, r"^0\.7[45]"),
    "v1 random": ("cifar10_v1", {"mask": exact_rows}, ROWS, r"exactly 32 of 128, random"),
    "v1 batch": ("cifar10_v1", {"mask": batch_coin}, ROWS, r"coin per batch"),
    "probability": ("imagenet", {"changes": {"class_dropout_prob": 0.15}}, DROPOUT,
        r"^0\.1[45]\d* ±"),
    "any rows": ("imagenet", {"dropped": coin}, DROPOUT, r"a coin per row$"),
    "per batch": ("imagenet", {"dropped": batch_coin}, DROPOUT, r"coin per batch"),
    "none": ("imagenet", {"changes": {"class_dropout_prob": 0.0}}, DROPOUT, r"no row loses"),
    "fixed number": ("imagenet", {"dropped": fixed_number}, DROPOUT,
        r"exactly 12 of 128, the first"),
    "last labels": ("imagenet", {"dropped": last_labels}, DROPOUT, r"the last rows"),
    "in equal rows": ("imagenet", {"dropped": in_equal_rows}, DROPOUT, r"neither|dependent"),
    "no labels": ("imagenet", {"labels": False}, DROPOUT, r"^no labels"),
    "uniform": ("imagenet", {"changes": {"noise_dist": "uniform"}}, TIMES, r"^uniform; t = max"),
    "mean": ("imagenet", {"changes": {"P_mean_t": 0.0, "P_mean_r": 0.0}}, TIMES,
        r"mean -?0\.0.*t = max"),
    "std": ("imagenet", {"changes": {"P_std_t": 1.2, "P_std_r": 1.2}}, TIMES,
        r"std 1\.[12].*t = max"),
    "two laws": ("cifar10_v0", {"changes": {"P_mean_t": 0.0}}, TIMES,
                 r"t .*mean -?0\.0.*; r .*mean -[12]\.[09]"),
    "v1 as v0": ("cifar10_v1", {"order": "max"}, TIMES, r"t = max, r = min, then r := t"),
    "v0 as v1": ("cifar10_v0", {"order": "min"}, TIMES, r"before r = min"),
    "masked first": ("imagenet", {"order": "masked first"}, TIMES, r"before t = max"),
    "before": ("imagenet", {"order": "min"}, TIMES, r"before r = min"),
    "t := r": ("imagenet", {"order": "t := r"}, TIMES, r"t := r in masked"),
    "not ordered": ("imagenet", {"order": "none"}, TIMES, r"not ordered"),
    "exchanged": ("imagenet", {"after": lambda g, t, r: (r, t)}, TIMES, r"r > t in every row"),
    "r = U t": ("imagenet", {"order": "product", "times": lambda g, a, b: (a, g.random(a.shape))},
                TIMES, r"mean -0\.[34].*r = U t, U uniform"),
    "r = 0": ("imagenet", {"order": "zero"}, TIMES, r"r = 0 in 1 of the rows"),
    "step": ("cifar10_v0", {"after": fixed_step}, TIMES, r"t - r is always 0\.01|r = 0 in"),
    "drawn again": ("imagenet", {"normals": again_within(2)}, TIMES,
        r"truncated .*-[12]\.\d+\.\.[12]\."),
    "clipped normals": ("imagenet", {"normals": clipped_normals}, TIMES, r"t = 0\.832 in 0\.0"),
    "clipped times": ("imagenet", {"after": clipped_times}, TIMES, r"r = 0\.1 in 0\.0"),
    "rescaled": ("imagenet", {"times": scaled(0.05, 0.95)}, TIMES,
                 r"rescaled to 0\.0[45]\d*\.\.0\.9"),
    "v1 rescaled": ("cifar10_v1", {"times": scaled(0.01, 0.99)}, TIMES, r"rescaled to 0\.0[01]"),
    "t = 1": ("imagenet", {"after": one_in_ten}, TIMES, r"t = 1 in 0\.[01]"),
    "t = 1 before": ("cifar10_v1", {"times": one_before}, TIMES, r"t = 1 in 0\.[01]"),
    "grid": ("imagenet", {"times": on_a_grid}, TIMES, r"grid"),
    "half precision": ("imagenet", {"dtype": np.float16}, TIMES, r"grid"),
    "one time a call": ("imagenet", {"times": one_a_call}, TIMES, r"one t for all rows of a call"),
    "v1 one time a call": ("cifar10_v1", {"times": one_a_call}, TIMES, r"one t for all rows"),
    "antithetic": ("imagenet", {"normals": antithetic}, TIMES, r"antithetic t: rows i and i \+ 64"),
    "stratified": ("imagenet", {"normals": stratified}, TIMES, r"stratified"),
    "sorted": ("imagenet", {"normals": in_order}, TIMES, r"rises or falls"),
    "one draw": ("imagenet", {"normals": one_draw}, ROWS, r"^all rows"),
    "v1 one draw": ("cifar10_v1", {"normals": one_draw}, TIMES, r"one draw for t and r"),
    "correlated": ("imagenet", {"normals": correlated}, TIMES, r"correlation"),
    "beta": ("cifar10_v1", {"times": lambda g, a, b: g.beta(2, 3, (2, *a.shape))}, TIMES,
        r"logit\(t\) has mean"),
}
# fmt: on


@pytest.mark.soak("ports", of="name", share=3)
@pytest.mark.parametrize("name", DEPARTURES)
def test_a_departure_is_named_by_one_line(name):
    preset, departures, heading, pattern = DEPARTURES[name]
    found = lines(port(preset, **departures), OFFICIAL[preset])
    named = [line for line in found if line.verdict != "same"]
    assert [(line.what, line.verdict) for line in named] == [(heading, "differs")], named
    assert re.search(pattern, named[0].code), named[0]
    assert named[0].detail
    assert named[0].official != named[0].code


def test_two_departures_are_two_lines():
    a_port = port("imagenet", {"noise_dist": "uniform", "class_dropout_prob": 0.3}, mask=coin)
    assert [what for what, _ in wrong(lines(a_port))] == [ROWS, DROPOUT, TIMES]


# fmt: off
CLAIMS = {
    ROWS: {"data_proportion": 0.5}, DROPOUT: {"class_dropout_prob": 0.2},
    TIMES: {"P_mean": -2.0, "P_std": 2.0},
}
# fmt: on


@pytest.mark.parametrize("heading", CLAIMS)
def test_a_claim_that_holds_is_claimed_and_a_false_one_differs(heading):
    official = OFFICIAL["imagenet"]
    expected = claimed(official, CLAIMS[heading])
    found = lines(Port(expected), expected, official)
    assert [(line.what, line.verdict) for line in found if line.verdict != "same"] == [
        (heading, "claimed")
    ]
    found = lines(Port(official), expected, official)
    assert [(line.what, line.verdict) for line in found if line.verdict != "same"] == [
        (heading, "differs")
    ]


def test_a_claim_of_the_other_rows_and_order_is_claimed():
    official = OFFICIAL["imagenet"]
    words = {"mask": "before", "equal_rows": "random", "dropped": "random"}
    expected = claimed(official, words)
    found = lines(Port(expected), expected, official)
    assert [line.verdict for line in found] == ["claimed"] * 3
    none = claimed(official, {"class_dropout_prob": 0.0})
    assert lines(port(labels=False), none, official)[1].verdict == "claimed"


def test_numbers_of_a_departing_law_are_measured():
    a_port = port("cifar10_v1", {"P_mean_t": 0.3, "P_std_r": 1.1})
    code = wrong(lines(a_port, OFFICIAL["cifar10_v1"], num_rows=16_384))[0][1]
    found = re.findall(r"(?:mean|std) (-?[\d.]+) ± ([\d.]+)", code)
    for (value, error), true in zip(found, (0.3, 1.6, -4.0, 1.1), strict=True):
        assert abs(float(value) - true) < 5 * float(error)
        assert 0 < float(error) < 0.05


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (lambda g, t, r: (t * np.nan, r), "NaN"),
        (lambda g, t, r: (np.where(t > 0.9, np.inf, t), r), "infinite"),
        (lambda g, t, r: (1000 * t, 1000 * r), "expected 0..1"),
    ],
)
def test_times_of_which_nothing_can_be_said_are_one_unknown_line(after, why):
    found = lines(port(after=after))
    assert [line.what for line in found if line.verdict == "unknown"] == [TIMES]
    assert why in found[-1].code
    assert not [line for line in found if line.verdict == "differs"]


def test_the_same_times_in_every_call_are_one_line():
    found = lines(
        port(after=lambda g, t, r: (np.tile(t[:1], (len(t), 1)), np.tile(r[:1], (len(t), 1))))
    )
    assert [(line.what, line.verdict) for line in found if line.verdict != "same"] == [
        (TIMES, "differs")
    ]
    assert "seed" in found[-1].code


def test_t_equal_everywhere_is_a_difference():
    found = wrong(lines(port(after=lambda g, t, r: (np.ones_like(t), r))))
    assert [what for what, _ in found][-1] == TIMES
    assert any("t = 1 in 1 of the rows" in code for _, code in found)


@pytest.mark.parametrize("preset", OFFICIAL)
def test_rounding_makes_no_difference(preset):
    def interpolated(generator, t, r):
        return t, np.where(t == r, t - 1e-7 * generator.random(t.shape), r)

    for after in (interpolated, lambda g, t, r: (t + 1e-7, r + 1e-7)):
        assert not wrong(lines(port(preset, after=after), OFFICIAL[preset]))


@pytest.mark.parametrize("preset", OFFICIAL)
@pytest.mark.parametrize(("num_rows", "batch"), [(64, 16), (300, 16), (2048, 16), (8, 8), (6, 2)])
def test_few_rows_and_small_batches_raise_no_alarm(preset, num_rows, batch):
    found = lines(port(preset), OFFICIAL[preset], num_rows=num_rows, batch=batch)
    assert not wrong(found)


def p_values(settings: Settings, seed: int, num_rows: int = 640) -> list[float]:
    draws = Port(settings)(num_rows, 64, 10_000 + seed)
    held = densities.law(settings)
    return [
        rows.p_value(draws, settings, held),
        labels.p_value(draws, settings),
        law.p_value(draws, settings),
        law.dependent(law.observed(draws)).p_value,
    ]


@pytest.mark.parametrize("preset", OFFICIAL)
def test_p_values_of_official_draws_are_no_smaller_than_they_should_be(preset):
    """200 repetitions at alarm rates that can be seen, within binomial bounds of 1e-6."""
    settings = replace(OFFICIAL[preset], equal_rows="random", dropped="random")
    found = np.array([p_values(settings, seed) for seed in range(200)])
    for rate in (0.01, 0.05, 0.2):
        alarms = (found < rate).sum(0)
        assert np.all(alarms <= stats.binom.isf(1e-6, 200, rate)), (rate, alarms)
    assert found.min() > statistics.FALSE_ALARM


@pytest.mark.parametrize(
    "changes",
    [
        {"P_mean_t": -0.3, "P_mean_r": -0.3},
        {"P_std_t": 1.05, "P_std_r": 1.05},
        {"class_dropout_prob": 0.12},
        {"data_proportion": 0.76, "equal_rows": "random"},
        {"mask": "before"},
    ],
)
def test_small_departures_are_rejected_with_the_rows_that_are_drawn(changes):
    settings = OFFICIAL["imagenet"]
    departing = Port(replace(settings, **changes))(4 * 16_384, 128, 1)
    held = densities.law(settings)
    least = min(
        rows.p_value(departing, settings, held),
        labels.p_value(departing, settings),
        law.p_value(departing, settings),
    )
    assert least < statistics.FALSE_ALARM


@pytest.mark.parametrize("preset", [*OFFICIAL, "uniform"])
def test_density_is_that_of_the_official_draws(preset):
    settings = OFFICIAL.get(preset, replace(OFFICIAL["imagenet"], noise_dist="uniform"))
    x = sigmoid(np.linspace(-18, 14, 4001))
    cdf = integrate.cumulative_trapezoid(densities.density(settings, x), x, initial=0)
    np.testing.assert_allclose(cdf[-1], 1, atol=1e-3)
    t = Port(settings, dtype=np.float64)(20_000, 100, 5).t.ravel()
    assert stats.kstest(t, lambda t: np.interp(t, x, cdf)).pvalue > 1e-3


def test_binomial_is_exact_and_two_sided():
    assert statistics.binomial(0, 10, 0.5) == pytest.approx(2 * 2**-10)
    assert statistics.binomial(3, 10, 0.0) == 0
    assert statistics.binomial(10, 10, 1.0) == 1
    assert statistics.binomial(5, 10, 0.5) == 1
