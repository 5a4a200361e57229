"""Draws of ports that do not exist: the official ones, and one departure from them each."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from impls.common import draws
from verify.ports.observation import Draws
from verify.ports.settings import OFFICIAL, Settings


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@dataclass
class Port:
    """Times as a port of these settings draws them, each step open to a departure."""

    settings: Settings = OFFICIAL["imagenet"]
    normals: Callable | None = None  # (generator, shape) -> n of t, n of r
    times: Callable | None = None  # (generator, a, b) -> a, b: on the raw draws
    order: str = ""  # max, min, masked first, t := r, none, product, zero
    mask: Callable | None = None  # (generator, shape, share, a, b) -> [num_calls, batch]
    dropped: Callable | None = None  # (generator, shape, share) -> [num_calls, batch]
    after: Callable | None = None  # (generator, t, r) -> t, r
    labels: bool = True
    dtype: type = np.float32
    num_rows: int = 0  # drawn so far

    def __call__(self, num_rows: int, batch: int, seed: int) -> Draws:
        generator = draws.generator(seed, draws.Stream.CHECK, batch)
        shape = (-(-num_rows // batch), batch)
        self.num_rows += shape[0] * batch
        s = self.settings
        n = self.normals(generator, shape) if self.normals else generator.normal(size=(2, *shape))
        a, b = (sigmoid(s.P_std_t * n[0] + s.P_mean_t), sigmoid(s.P_std_r * n[1] + s.P_mean_r))
        if s.noise_dist == "uniform":
            a, b = generator.random((2, *shape))
        a, b = self.times(generator, a, b) if self.times else (a, b)
        a, b = (x.astype(self.dtype).astype(float) for x in (a, b))
        if self.mask:
            mask = self.mask(generator, shape, s.data_proportion, a, b)
        elif s.equal_rows == "first":
            mask = np.broadcast_to(np.arange(batch) < int(batch * s.data_proportion), shape)
        else:
            mask = generator.random(shape) < s.data_proportion
        t, r = ordered(self.order or {"after": "max", "before": "min"}[s.mask], a, b, mask)
        if self.after:
            t, r = self.after(generator, t, r)
        if self.dropped:
            dropped = self.dropped(generator, shape, s.class_dropout_prob)
        else:
            dropped = coin(generator, shape, s.class_dropout_prob)
            if s.dropped == "first":
                dropped = np.arange(batch) < dropped.sum(1)[:, None]
        return Draws(t, r, dropped if self.labels else None)


def ordered(order, a, b, mask):
    high, low = np.maximum(a, b), np.minimum(a, b)
    return {
        "max": lambda: (high, np.where(mask, high, low)),
        "min": lambda: (a, np.minimum(a, np.where(mask, a, b))),
        "masked first": lambda: (np.where(mask, a, high), np.where(mask, a, low)),
        "t := r": lambda: (np.where(mask, low, high), low),
        "none": lambda: (a, np.where(mask, a, b)),
        "product": lambda: (a, np.where(mask, a, a * b)),
        "zero": lambda: (a, np.where(mask, a, 0)),
    }[order]()


def coin(generator, shape, share, *_):
    return generator.random(shape) < share


def last_rows(generator, shape, share, *_):
    return np.broadcast_to(np.arange(shape[1])[::-1] < int(shape[1] * share), shape)


def exact_rows(generator, shape, share, *_):
    return generator.random(shape).argsort(1) < int(shape[1] * share)


def batch_coin(generator, shape, share, *_):
    return np.broadcast_to(generator.random((shape[0], 1)) < share, shape)


def first_rows(number):
    def mask(generator, shape, share, *_):
        return np.broadcast_to(np.arange(shape[1]) < number(shape[1] * share), shape)

    return mask


def port(preset="imagenet", changes=None, **departures):
    return Port(replace(OFFICIAL[preset], **(changes or {})), **departures)
