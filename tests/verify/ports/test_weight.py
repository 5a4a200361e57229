"""The weight of a loss is named from its rows: one line for each difference, none beside them."""

import re
from dataclasses import replace

import numpy as np
import pytest

from impls.common.draws import Stream, generator
from verify.ports.observation import Weighted
from verify.ports.settings import OFFICIAL
from verify.ports.weight import findings

IMAGENET = OFFICIAL["imagenet"]
SIZES = ((8, 192), (16, 192), (24, 192), (8, 48), (16, 48))


def observed(port, sizes=SIZES, seed=0, rounding=1e-13):
    """Calls of a port: (s, t, r, D) -> (weights, loss), with noise of a hundredth of rounding."""
    rng = generator(seed, Stream.CHECK)
    calls = []
    for batch, num_pixels in sizes:
        s = num_pixels * rng.uniform(0.3, 3, batch)
        t = rng.uniform(0.05, 0.95, batch)
        r = np.where(np.arange(batch) < batch // 3, t, t * rng.uniform(0.05, 0.95, batch))
        weight, loss = port(s, t, r, num_pixels)
        noise = 1 + rounding / 10 * rng.standard_normal((2, batch))
        calls.append(
            Weighted(s * noise[0], weight * noise[1], t, r, loss, None, num_pixels, rounding)
        )
    return calls


def detached(slope):
    """A port whose weight has no gradient: loss = mean of slope times s."""

    def port(s, t, r, num_pixels):
        values = slope(s, t, r, num_pixels) * np.ones_like(s)
        return 2 / len(s) * values, float(np.mean(values * s))

    return port


def own(slope, loss):
    """A port of another loss of s, with its gradient."""

    def port(s, t, r, num_pixels):
        return 2 / len(s) * slope(s), float(np.mean(loss(s)))

    return port


def power(p=1.0, eps=0.01, over="sum", loss_over="sum"):
    """(s + eps)^-p, each s summed or a mean over pixels."""

    def slope(s, t, r, num_pixels):
        q = s / num_pixels if over == "mean" else s
        return (q + eps) ** -p / (num_pixels if loss_over == "mean" else 1)

    return slope


def times(factor):
    """The official weight times a function of the times."""
    return detached(lambda s, t, r, d: factor(t, r) / (s + 0.01))


def lines(port, expected=IMAGENET, official=IMAGENET, **options):
    return findings(observed(port, **options), expected, official)


def normalised(s, t, r, d):
    weight = 1 / (s + 0.01)
    return weight / weight.mean()


def groups(s, t, r, d):
    return 1 / (s + 0.01) / np.where(r == t, np.mean(r == t), np.mean(r != t))


def huber(s, delta=12.0):
    return np.where(s < delta**2, s, 2 * delta * np.sqrt(s) - delta**2)


ROOT = detached(lambda s, t, r, d: 0.5 / np.sqrt(s + 1e-3))
# A port, and what its one line says.
FAULTS = {
    "p": (detached(power(p=0.5)), r"p = 0\.5$"),
    "p of three digits": (detached(power(p=0.725)), r"p = 0\.725$"),
    "p above one": (detached(power(p=1.5)), r"p = 1\.5$"),
    "eps": (detached(power(eps=1e-3)), r"eps = 0\.001$"),
    "small eps": (detached(power(eps=1e-6)), r"eps = 1e-06$"),
    "no eps": (detached(power(eps=0.0)), r"eps = 0$"),
    "large eps": (detached(power(eps=1.0)), r"eps = 1$"),
    "mean": (detached(power(over="mean", loss_over="mean")), "a mean over pixels"),
    "mean in the weight": (detached(power(over="mean")), "mean .* in the weight, sum in the loss"),
    "mean in the loss": (detached(power(loss_over="mean")), "summed .* weight, mean in the loss"),
    "half": (detached(lambda *a: 0.5 * power()(*a)), r"0\.5 times the loss"),
    "ascent": (detached(lambda *a: -power()(*a)), "-1 times the loss"),
    "no weight": (detached(lambda *a: 1.0), r"no weight \(p = 0\)$"),
    "plain mean": (detached(lambda s, t, r, d: 1 / d), r"no weight .* a mean over pixels"),
    "squared twice": (
        own(lambda s: 2 * s / (s**2 + 1e-3) ** 0.9, lambda s: s**2 / (s**2 + 1e-3) ** 0.9),
        r"squared twice: s\^2 / \(s\^2 \+ 0\.001\)\^0\.9", {"norm_p": 0.9},
    ),
    "squared in the weight": (
        detached(lambda s, *a: 1 / (s**2 + 0.01)), "s squared in the weight only",
    ),
    "root in the weight": (
        detached(lambda s, *a: 1 / (np.sqrt(s) + 0.01)), r"sqrt\(s\) in the weight",
    ),
    "norm": (
        own(lambda s: 0.5 / np.sqrt(s) / (np.sqrt(s) + 0.01),
            lambda s: np.sqrt(s) / (np.sqrt(s) + 0.01)),
        r"sqrt\(s\) in place of s",
    ),
    "eps outside": (
        detached(lambda s, *a: 1 / (s**0.75 + 0.01)), "eps outside the power", {"norm_p": 0.75},
    ),
    "log": (own(lambda s: 1 / (s + 0.01), lambda s: np.log(s + 0.01)), r"log\(s \+ 0\.01\)"),
    "pseudo-Huber": (
        own(lambda s: 0.5 / np.sqrt(s + 1e-2), lambda s: np.sqrt(s + 1e-2) - 0.1),
        r"pseudo-Huber: sqrt\(s \+ 0\.1\^2\) - 0\.1",
    ),
    "root": (
        own(lambda s: 0.5 / np.sqrt(s + 1e-4), lambda s: np.sqrt(s + 1e-4)),
        r"square root of the error as the loss",
    ),
    "Huber": (
        own(lambda s: np.where(s < 144, 1, 12 / np.sqrt(s)), huber),
        r"Huber: s where sqrt\(s\) is below 12,",
    ),
    "not detached": (
        own(lambda s: 0.01 / (s + 0.01) ** 2, lambda s: s / (s + 0.01)), "not detached",
    ),
    "not detached, another p": (
        own(lambda s: (0.5 * s + 0.01) / (s + 0.01) ** 1.5, lambda s: s / (s + 0.01) ** 0.5),
        r"not detached: s / \(s \+ 0\.01\)\^0\.5", {"norm_p": 0.5},
    ),
    "normalised": (detached(normalised), "normalised over the batch"),
    "mean error": (
        detached(lambda s, t, r, d: 1 / (s.mean() + 0.01)), "one weight .* the batch's mean error",
    ),
    "mean weight": (
        detached(lambda s, t, r, d: (1 / (s + 0.01)).mean()), "one weight .* mean of their weights",
    ),
    "rolled": (detached(lambda s, *a: 1 / (np.roll(s, 1) + 0.01)), r"other rows \(rolled by 1\)"),
    "rolled by -2": (detached(lambda s, *a: 1 / (np.roll(s, -2) + 0.01)), "rolled by -2"),
    "reversed": (detached(lambda s, *a: 1 / (s[::-1] + 0.01)), "in reversed order"),
    "sorted": (detached(lambda s, *a: 1 / (np.sort(s) + 0.01)), r"other rows \(permuted\)"),
    "sum over rows": (
        lambda s, t, r, d: (2 / (s + 0.01), float(np.sum(s / (s + 0.01)))), "sum over rows",
    ),
    "times 1 - t": (times(lambda t, r: (1 - t) ** 2), r"weight times \(1 - t\)\^2$"),
    "times t": (times(lambda t, r: t), r"weight times t$"),
    "over t": (times(lambda t, r: 1 / t), r"weight times t\^-1$"),
    "times the interval": (times(lambda t, r: np.sqrt(t - r)), r"times \(t - r\)\^0\.5$"),
    "exponential": (times(lambda t, r: np.exp(-3 * (t - r))), r"exp\(t - r\)\^-3"),
    "rows with r = t": (times(lambda t, r: np.where(r == t, 0.25, 1)), r"r = t weighted 0\.25"),
    "two means": (detached(groups), "mean over rows with r = t plus mean over the others"),
    "dead rows": (times(lambda t, r: r != t), "weight 0 in rows with r = t"),
    "dead rows, their mean": (
        lambda s, t, r, d: (2 * (r < t) / np.sum(r < t) / (s + 0.01),
                            float(np.sum((r < t) * s / (s + 0.01)) / np.sum(r < t))),
        "weight 0 in rows with r = t",
    ),
    "outliers": (
        detached(lambda s, t, r, d: (s < 1.5 * d) / (s + 0.01)), "weight 0 in .* of 72 rows",
    ),
    "printed loss": (own(lambda s: 1 / (s + 0.01), lambda s: s), "loss the plain squared error"),
    "printed half": (
        own(lambda s: 1 / (s + 0.01), lambda s: 0.5 * s / (s + 0.01)),
        r"loss 0\.5 times what its gradient says",
    ),
    "half of the gradient": (
        own(lambda s: 0.5 / (s + 0.01), lambda s: s / (s + 0.01)),
        r"0\.5 times the gradient of the loss",
    ),
    "plain error added": (detached(lambda s, *a: 1 / (s + 0.01) + 1e-3), "weight plus 0.001:"),
    "data's error added": (
        detached(lambda s, t, r, d: (1 / (s / d + 0.01) + 2 * t**2) / d),
        r"weight plus 2 t\^2", {"reduction": "mean"},
    ),
    "printed otherwise": (own(lambda s: 1 / (s + 0.01), np.sin), "loss of another formula"),
    "no gradient": (
        lambda s, t, r, d: (0 * s, float(np.mean(s))), "no gradient reaches the network",
    ),
    "not a number": (times(lambda t, r: np.where(t > 0.9, np.nan, 1)), "no numbers, in .* rows"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_named_by_one_line(name):
    port, pattern, *claims = FAULTS[name]
    expected = replace(IMAGENET, **(claims[0] if claims else {}))
    (line,) = lines(port, expected, expected)
    assert (line.what, line.verdict) == ("weight", "differs")
    assert re.search(pattern, line.code), line.code
    assert line.detail


@pytest.mark.parametrize("rounding", [1e-13, 1e-6])
@pytest.mark.parametrize("name", OFFICIAL)
def test_the_authors_weight_is_one_line(name, rounding):
    settings = OFFICIAL[name]
    port = detached(power(settings.norm_p, settings.norm_eps))
    for seed in range(10):
        (line,) = lines(port, settings, settings, rounding=rounding, seed=seed)
        assert (line.verdict, line.code) == ("same", line.official)
        assert line.code.endswith("s summed over pixels, mean over rows")


FLOAT32 = (
    "p", "mean", "half", "no weight", "plain mean", "normalised", "rolled", "reversed",
    "sum over rows", "times 1 - t", "two means", "printed loss", "large eps", "mean error",
)  # fmt: skip


@pytest.mark.parametrize("name", FLOAT32)
def test_faults_in_float32(name):
    port, pattern = FAULTS[name]
    (line,) = lines(port, rounding=1e-6)
    assert re.search(pattern, line.code), line.code


def test_claims():
    claimed = replace(IMAGENET, norm_p=0.75, norm_eps=1e-3)
    (line,) = lines(detached(power(0.75, 1e-3)), claimed)
    assert line.verdict == "claimed"
    assert line.code == "s / (s + 0.001)^0.75, s summed over pixels, mean over rows"
    assert line.official.startswith("s / (s + 0.01)^1, s summed")
    (line,) = lines(detached(power(0.5, 1e-3)), claimed)
    assert (line.verdict, line.official) == ("differs", "p = 1")
    assert line.code == "p = 0.5 (eps = 0.001 as claimed)"
    assert "the port claims p = 0.75" in line.detail
    (line,) = lines(detached(power(0.5, 1e-3)), replace(IMAGENET, norm_p=0.5))
    assert line.code == "eps = 0.001 (p = 0.5 as claimed)"
    plain = replace(IMAGENET, norm_p=0.0, reduction="mean")
    (line,) = lines(FAULTS["plain mean"][0], plain)
    assert line.verdict == "claimed"
    (line,) = lines(FAULTS["plain mean"][0], replace(plain, reduction="sum"))
    assert "a mean over pixels" in line.code


def test_two_and_three_faults():
    found = lines(detached(power(eps=1e-3, loss_over="mean")))
    reduction = "error summed over pixels in the weight, mean in the loss"
    assert [line.code for line in found] == ["eps = 0.001", reduction]
    found = lines(detached(power(0.5, 1e-3)))
    assert [line.code for line in found] == ["p = 0.5", "eps = 0.001"]
    found = lines(detached(power(0.5, 1e-6, "mean", "mean")))
    codes = ["p = 0.5", "eps = 1e-06", "error a mean over pixels"]
    assert [line.code for line in found] == codes

    def both(s, t, r, d):
        weight = (s / d + 1e-6) ** -0.5
        return weight / weight.mean() / d

    normal, p, eps, reduction = lines(detached(both))
    assert "normalised" in normal.code
    assert (p.code, eps.code, reduction.code) == tuple(codes)


def test_one_size_of_images():
    sizes = ((8, 192), (16, 192))
    (line,) = lines(detached(power()), sizes=sizes)
    assert line.verdict == "same"
    (line,) = lines(detached(power(over="mean", loss_over="mean")), sizes=sizes)
    assert "a mean over pixels" in line.code


def test_what_follows_no_law_is_unknown():
    (line,) = lines(times(lambda t, r: 1 + t**3))
    assert (line.verdict, line.code[:16]) == ("unknown", "weight about s^-")
    assert "t (" in line.detail
    (line,) = lines(detached(lambda s, *a: (1 + 0.3 * np.sin(1e5 * s)) / s))
    assert "no function of s alone" in line.detail
    (line,) = lines(times(lambda t, r: np.where(t > 0.5, 1, -1)))
    assert (line.verdict, line.code[:15]) == ("unknown", "negative weight")


@pytest.mark.parametrize("size", [1, 2, 5])
def test_few_rows(size):
    sizes = ((size, 192),)
    (line,) = lines(detached(power()), sizes=sizes)
    assert line.verdict == "same"
    (line,) = lines(detached(power(0.6)), sizes=sizes)
    assert line.verdict == "unknown"
    assert "too few" in line.detail


def test_a_loss_per_row_is_said():
    calls = [call._replace(losses=call.squared_error) for call in observed(detached(power()))]
    (line,) = findings(calls, IMAGENET, IMAGENET)
    assert (line.verdict, line.detail) == ("same", "a loss per row is returned: its mean is taken")


def test_rows_without_an_error_are_left_out():
    calls = observed(detached(power()))
    for call in calls:
        call.squared_error[0], call.weight[0] = 0.0, np.nan
    loss = [float(np.sum(0.5 * call.weight[1:] * call.squared_error[1:])) for call in calls]
    calls = [call._replace(loss=value) for call, value in zip(calls, loss, strict=True)]
    (line,) = findings(calls, IMAGENET, IMAGENET)
    assert line.verdict == "same"
