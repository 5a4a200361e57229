"""A sampler is told from its network calls: one line for each difference, none beside them."""

import re
from itertools import pairwise

import numpy as np
import pytest

from impls.common.draws import Stream, generator
from verify.ports.observation import NetworkCall, Sampling
from verify.ports.sampler import findings

SHAPE = (8, 3, 4, 4)
NULL = 10
MIX = generator(0, Stream.CHECK, 1).standard_normal((48, 48)) / 7
SHIFT = generator(0, Stream.CHECK, 2).standard_normal((NULL + 1, 48))


class Network:
    """A probe network that records its calls."""

    num_classes = NULL

    def __init__(self):
        self.calls = []

    def __call__(self, z, t, h, labels):
        t, h = (np.broadcast_to(np.asarray(x, float), len(z)) for x in (t, h))
        u = np.tanh(z @ MIX) + t[:, None] + 0.3 * h[:, None] * z
        u = u + (0 if labels is None else SHIFT[labels])
        self.calls.append(NetworkCall(z.copy(), t, t - h, labels, u))
        return u


def sampled(sampler, num_steps, with_labels=True, rounding=1e-13, seed=3):
    """What one call of a sampler told."""
    noise = generator(3, Stream.CHECK).standard_normal((SHAPE[0], 48))
    labels = np.arange(8) if with_labels else None
    net, answer, error, shape = Network(), None, "", None
    try:
        answer = sampler(net, noise.copy(), labels, num_steps, generator(seed, Stream.CHECK, 4))
    except (ValueError, NotImplementedError) as raised:
        error = f"{type(raised).__name__}: {raised}"
    if answer is not None:
        shape = answer.shape if answer.shape != noise.shape else SHAPE
        answer = answer.reshape(8, -1) if answer.size == noise.size else None
    blur = generator(5, Stream.CHECK)

    def rounded(array):
        return array * (1 + rounding / 10 * blur.standard_normal(array.shape))

    calls = tuple(call._replace(z=rounded(call.z), u=rounded(call.u)) for call in net.calls)
    if answer is not None and not np.all(answer == np.round(answer)):
        inside = (answer > answer.min()) & (answer < answer.max())  # what is clipped is exact
        answer = np.where(inside, rounded(answer), answer)
    return Sampling(
        num_steps, noise, labels, NULL, calls, answer, shape, SHAPE, error, rounding
    )  # fmt: skip


def lines(sampler, **options):
    """Findings of calls for 1, 2 and 4 steps, and a second one for 1 step."""
    told = [sampled(sampler, steps, seed=k, **options) for k, steps in enumerate((1, 2, 4, 1))]
    return findings(told, "sample")


def euler(grid=lambda n: np.linspace(1, 0, n + 1), *, h=None, k=None, move=None, u=None, last=None):
    """An Euler sampler with other parts in their places."""

    def sample(net, z, labels, num_steps, rng):
        times = grid(num_steps)
        for t, r in pairwise(times):
            step = t - r
            given = step if h is None else h(t, r)
            value = net(z, t, given, labels) if u is None else u(net, z, t, given, labels)
            z = z - (step if k is None else k(t, r)) * value
            if move is not None and r > 0:
                z = move(z, t, r, rng)
        return z if last is None else last(z)

    return sample


def guided(weight):
    """Guidance by two calls."""

    def u(net, z, t, h, labels):
        null = net(z, t, h, np.full(8, NULL))
        return null + weight * (net(z, t, h, labels) - null)

    return euler(u=u)


def guided_at_once(weight, interleaved=False):
    """Guidance by one call of two rows an image."""

    def u(net, z, t, h, labels):
        if interleaved:
            both = np.repeat(z, 2, 0), np.stack([labels, np.full(8, NULL)], 1).ravel()
            found = net(both[0], t, h, both[1]).reshape(8, 2, -1)
            return found[:, 1] + weight * (found[:, 0] - found[:, 1])
        found = net(np.concatenate([z, z]), t, h, np.concatenate([labels, np.full(8, NULL)]))
        return found[8:] + weight * (found[:8] - found[8:])

    return euler(u=u)


def heun(net, z, labels, num_steps, rng):
    times = np.linspace(1, 0, num_steps + 1)
    for t, r in pairwise(times):
        u = net(z, t, 0, labels)
        z = z - (t - r) / 2 * (u + net(z - (t - r) * u, r, 0, labels))
    return z


def one_step(net, z, labels, num_steps, rng):
    return z - net(z, 1.0, 1.0, labels)


def only_one(net, z, labels, num_steps, rng):
    if num_steps > 1:
        raise NotImplementedError("one step")
    return one_step(net, z, labels, num_steps, rng)


def fails_at_four(net, z, labels, num_steps, rng):
    if num_steps == 4:
        raise ValueError("no such schedule (port.py:12)")
    return euler()(net, z, labels, num_steps, rng)


def starts_anew(scale):
    def sample(net, z, labels, num_steps, rng):
        return euler()(net, scale * rng.standard_normal(z.shape), labels, num_steps, rng)

    return sample


def scaled(factor):
    return lambda net, z, labels, n, rng: euler()(net, factor * z, labels, n, rng)


def extra_call(net, z, labels, num_steps, rng):
    z = euler()(net, z, labels, num_steps, rng)
    net(z, 0.0, 0.0, labels)
    return z


def twice(net, z, t, h, labels):
    net(z, t, h, labels)
    return net(z, t, h, labels)


def relabelled(function):
    return euler(u=lambda net, z, t, h, labels: net(z, t, h, function(labels)))


def stateful():
    count = []

    def last(z):
        count.append(z)
        return z + 0.1 * (len(count) == 4)

    return euler(last=last)


def early(net, z, labels, num_steps, rng):
    if num_steps == 1:
        return euler()(net, z, labels, num_steps, rng)
    kept = []
    euler(u=lambda net, z, *rest: kept.append(z) or net(z, *rest))(net, z, labels, num_steps, rng)
    return kept[-1]


def instant(net, z, labels, num_steps, rng):
    z = euler(h=lambda t, r: 0.0)(net, z, labels, num_steps, rng)
    net.calls[:] = [call._replace(r=None) for call in net.calls]
    return z


# A sampler, and what its one line says.
FAULTS = {
    "Euler on v": (euler(h=lambda t, r: 0.0), "^h = 0: Euler's method"),
    "h = 0 at several steps": (
        euler(h=lambda t, r: 1.0 if r == 0 and t == 1 else 0.0), "^h = 0.*, with 2 and 4 steps$",
    ),
    "r for h": (euler(h=lambda t, r: r), "^r in place of h"),
    "h = 1": (euler(h=lambda t, r: 1.0), "^h = 1 at every step, with 2 and 4 steps$"),
    "r = 0": (euler(h=lambda t, r: t), r"^h = t \(r = 0\) at every step"),
    "h negative": (euler(h=lambda t, r: r - t), "^h = r - t"),
    "h of something else": (euler(h=lambda t, r: 0.5 * (t - r)), "^h = 0.125, .*moves by 0.25"),
    "one time": (instant, "one time a call"),
    "step of one": (euler(k=lambda t, r: 1.0), "^z moves by 1 a step, not by t - r"),
    "wrong direction": (euler(k=lambda t, r: r - t), r"^z <- z \+ \(t - r\) u"),
    "reversed times": (
        euler(lambda n: np.linspace(0, 1, n + 1), h=lambda t, r: r - t, k=lambda t, r: r - t),
        r"^times from 0 to 1 \(z - h u\)",
    ),
    "start": (euler(lambda n: np.linspace(0.98, 0, n + 1)), "^starts at t = 0.98"),
    "end": (euler(lambda n: np.linspace(1, 1e-3, n + 1)), "^ends at t = 0.001"),
    "times of the step's end": (
        euler(u=lambda net, z, t, h, y: net(z, max(t, 0.6), h, y)),
        "^t = 0.6 for z at time 0.5, with 2 and 4 steps",
    ),
    "noise scaled": (scaled(0.8), "^starts at 0.8 times the noise given$"),
    "own noise scaled": (starts_anew(2.0), "noise of its own of standard deviation 2"),
    "steps ignored": (one_step, "^steps ignored: always 1 network call, with 2 and 4 steps$"),
    "one call too many": (extra_call, "5 network calls for 4 steps, 1 of them without use"),
    "twice": (euler(u=twice), "8 network calls for 4 steps, 4 of them without use"),
    "one step more": (
        euler(lambda n: np.linspace(1, 0, n + 2)), "^5 network calls for 4 steps$",
    ),
    "no call": (lambda net, z, labels, n, rng: z, "^no call of the network"),
    "labels not passed": (relabelled(lambda labels: None), "^labels not passed"),
    "labels null": (relabelled(lambda labels: np.full(8, NULL)), "^labels replaced by the null"),
    "other labels": (relabelled(lambda labels: labels[::-1]), "^labels other than those given"),
    "guided": (guided(2.5), r"^guidance while sampling: .* w = 2\.5$"),
    "guided at once": (guided_at_once(1.5), r"^guidance while sampling: .* w = 1\.5$"),
    "guided in turns": (guided_at_once(3.0, interleaved=True), r"w = 3$"),
    "guided by one": (guided(1.0), "u\\(null\\) has no weight"),
    "second order": (heun, "second order"),
    "noise added": (
        euler(move=lambda z, t, r, rng: z + 0.3 * rng.standard_normal(z.shape)),
        r"^adds noise between steps \(standard deviation 0\.\d+ in step 1 of 4\), with 2 and 4",
    ),
    "shrinks": (euler(move=lambda z, t, r, rng: 0.9 * z), r"^0\.9 z \+ -0\.225 u in step 1 of 4"),
    "another shape": (euler(last=lambda z: z[:, :24]), r"^an answer of shape \(8, 24\)"),
    "flattened": (euler(last=lambda z: z[:, :, None]), r"^an answer of shape \(8, 48, 1\)"),
    "the noise": (lambda *a: [euler()(*a), a[1]][1], "^the answer is the starting noise$"),
    "a step too early": (early, "^the answer is z before step 4, with 2 and 4 steps$"),
    "t at the end": (euler(u=lambda net, z, t, h, y: net(z, t - h, h, y)), "^t is the end of its"),
    "transposed": (
        euler(last=lambda z: z.reshape(SHAPE).transpose(0, 2, 3, 1)), r"shape \(8, 4, 4, 3\)",
    ),
    "state": (stateful(), "^a second call with the same arguments"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_named_by_one_line(name):
    sampler, pattern = FAULTS[name]
    (line,) = lines(sampler)
    assert (line.what, line.verdict, line.loss) == ("sampler", "differs", "sample")
    assert re.search(pattern, line.code), line.code
    assert line.detail


# A sampler that is right, and what its line says beside that.
CORRECT = {
    "plain": (euler(), "uniform times", ""),
    "times of float32": (
        euler(lambda n: np.linspace(1, 0, n + 1, dtype=np.float32).astype(float)), "uniform", "",
    ),
    "another grid": (euler(lambda n: np.linspace(1, 0, n + 1) ** 2), "times 1, 0.5625, 0.25,", ""),
    "own noise": (starts_anew(1.0), "uniform", "^it draws its own starting noise$"),
    "one step only": (only_one, "uniform", "^one step only$"),
    "clipped": (
        euler(last=lambda z: z.clip(-1, 1)), "uniform",
        "^the answer is clipped at -1; the answer is clipped at 1$",
    ),
    "rescaled": (euler(last=lambda z: (z + 1) / 2), "uniform", "rescaled: 0.5 z [+] 0.5"),
    "clipped and rescaled": (
        euler(last=lambda z: (z.clip(-1, 1) + 1) / 2), "uniform", "0.5 z [+] 0.5.*clipped at 1",
    ),
    "bytes": (
        euler(last=lambda z: np.floor(z.clip(-1, 1) * 127.5 + 127.5)), "uniform", "whole numbers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("rounding", [1e-13, 1e-6])
@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_sampler_is_one_line(name, rounding):
    sampler, code, detail = CORRECT[name]
    (line,) = lines(sampler, rounding=rounding)
    assert (line.what, line.verdict) == ("sampler", "same")
    assert line.code.startswith("z <- z - (t - r) u(z, t, t - r), ")
    assert code in line.code
    assert re.search(detail, line.detail), line.detail
    assert bool(line.detail) == bool(detail)


def test_without_labels():
    (line,) = lines(euler(), with_labels=False)
    assert line.verdict == "same"


def test_an_error_is_one_line():
    (line,) = lines(fails_at_four)
    assert (line.what, line.verdict) == ("sampler", "differs")
    assert line.code == "ValueError: no such schedule (port.py:12) (4 steps)"


def test_a_sampler_that_always_fails():
    def broken(net, z, labels, num_steps, rng):
        raise NotImplementedError("later")

    (line,) = lines(broken)
    assert (line.what, line.code) == ("sampler", "NotImplementedError: later (1 and 2 and 4 steps)")


@pytest.mark.parametrize("sampler", [
    euler(last=np.tanh),
    euler(move=lambda z, t, r, rng: np.tanh(3 * z)),
    euler(u=lambda net, z, t, h, y: net(z[:2], t, h, y[:2])[[0, 1] * 4]),
    euler(u=lambda net, z, t, h, y: net(z, t + 0.01 * np.arange(8), h, y)),
])  # fmt: skip
def test_what_is_not_recognised_is_unknown(sampler):
    (line,) = lines(sampler)
    assert (line.what, line.verdict) == ("sampler", "unknown")


def test_two_faults_are_two_lines():
    both = euler(lambda n: np.linspace(0.98, 0, n + 1), u=relabel_null, h=lambda t, r: 0.0)
    assert [line.code.split(",")[0] for line in lines(both)] == [
        "labels replaced by the null label",
        "h = 0: Euler's method on the instantaneous velocity",
        "starts at t = 0.98",
    ]


def relabel_null(net, z, t, h, labels):
    return net(z, t, h, np.full(8, NULL))
