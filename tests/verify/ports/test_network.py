"""Real networks of ports: what they embed, r = t, their derivative, chance and rounding."""

import pytest

from verify.ports.finding import Finding
from verify.ports.network import findings

TORCH = """
framework = "torch"
import torch
from torch import nn

def network(z, t, SECOND, y):
    return dict(z=z, t=t, SECOND=SECOND, labels=y)

def loss(net, images, labels):
    t = torch.linspace(0.6, 0.9, len(images))
    return (net(images, t, 0.5 * t, labels) - images).square().mean()

class Embedding(nn.Module):
    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale
        self.register_buffer("frequencies", torch.exp(-torch.linspace(0, 4, 8)))
        self.mlp = nn.Linear(16, 12)

    def forward(self, t):
        a = self.scale * t[:, None] * self.frequencies
        return self.mlp(torch.cat([a.cos(), a.sin()], 1))

class Labels(nn.Module):
    def __init__(self, share):
        super().__init__()
        self.table, self.share = nn.Embedding(8, 12), share

    def forward(self, y):
        if self.training and self.share:
            y = torch.where(torch.rand(len(y)) < self.share, 7, y)
        return self.table(y)

class Net(nn.Module):
    in_channels, input_size, num_classes = 3, 4, 7

    def __init__(self, scale=1.0, labels=0.0, dropout=0.0):
        super().__init__()
        self.one, self.two = Embedding(scale), Embedding(scale)
        self.labels, self.dropout = Labels(labels), nn.Dropout(dropout)
        self.first, self.last = nn.Linear(48, 12), nn.Linear(12, 48)
        nn.init.zeros_(self.last.weight), nn.init.zeros_(self.last.bias)

    def times(self, t, s):
        return self.one(t) + self.two(s)

    def forward(self, z, t, s, y):
        x = self.first(z.flatten(1)) + self.times(t, s) + self.labels(y)
        return self.last(self.dropout(torch.tanh(x))).view(z.shape)
"""
JAX = """
framework = "jax"
import jax
import jax.numpy as jnp
import numpy as np

class Config:
    pass

def network(z, t, SECOND, y):
    return dict(z=z, t=t, SECOND=SECOND, labels=y)

def loss(net, params, images, labels, key):
    t = jnp.linspace(0.6, 0.9, len(images)).astype(images.dtype)
    return jnp.square(net(params, images, t, 0.5 * t, labels) - images).mean()

def embedding(w, t, scale):
    a = scale * t[:, None] * jnp.exp(-jnp.linspace(0, 4, 8)).astype(t.dtype)
    return jnp.concatenate([jnp.cos(a), jnp.sin(a)], 1) @ w

def times(p, t, s, scale):
    return embedding(p["one"], t, scale) + embedding(p["two"], s, scale)

def make(scale=1.0, times=times):
    def net(p, z, t, s, y):
        x = z.reshape(len(z), -1) @ p["first"] + times(p, t, s, scale) + p["labels"][y]
        return (jnp.tanh(x) @ p["last"]).reshape(z.shape)
    n = lambda *shape: jnp.asarray(np.random.RandomState(0).normal(size=shape) * 0.3, "float32")
    return net, dict(one=n(16, 12), two=n(16, 12), first=n(48, 12), labels=n(11, 12),
                     last=jnp.zeros((12, 48), "float32"))
"""
SHAPE = "\nbuild.shape = (3, 4, 4)\n"

T_AND_H = "sines and cosines of (t, h), frequencies up to 1"
NO_JVP = """
class F(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x * 1
    @staticmethod
    def backward(ctx, g): return g
"""
BATCH_NORM = """
class N(Net):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(12)
    def times(self, t, s): return self.norm(super().times(t, s))
def build(): return N()
"""


def of_times(body):
    """Lines that build a network whose embedding of the times is another."""
    return f"class N(Net):\n    def times(self, t, s): {body}\ndef build(): return N()"


# name -> (second time, lines that define build, {number of a finding that differs: its words})
TORCH_CASES = {
    "right": ("h", "def build(): return Net()", {}),
    "t_and_r": ("r", "def build(): return Net()", {0: "cosines of (t, r), frequencies up to 1"}),
    "scaled": ("h", "def build(): return Net(scale=1000.0)", {0: "up to 1000"}),
    "h_from_r": ("r", of_times("return self.one(t) + self.two(t - s)"), {}),
    "t_only": ("h", of_times("return self.one(t)"), {0: "does not depend on h"}),
    "h_only": ("h", of_times("return self.two(s)"), {0: "does not depend on t"}),
    "divides_by_h": (
        "h", of_times("return self.one(t) + self.two(s * s / s)"),
        {1: "u is not finite where r = t"},
    ),
    "root_of_h": (
        "h", of_times("return self.one(t) + self.two(s.sqrt())"),
        {0: "cosines of (t),", 1: "du/dh is not finite where r = t"},
    ),
    "detached": (
        "h", of_times("return self.one(t.detach()) + self.two(s)"), {2: "du/dt: the JVP is 0"}
    ),
    "no_jvp": (
        "h", NO_JVP + of_times("return self.one(F.apply(t)) + self.two(s)"),
        {2: "its JVP fails: RuntimeError"},
    ),
    "label_dropout": ("h", "def build(): return Net(labels=0.2)", {3: "labels are dropped inside"}),
    "dropout": ("h", "def build(): return Net(dropout=0.2)", {3: "it draws in training mode"}),
    "always_random": (
        "h", of_times("return nn.functional.dropout(self.one(t) + self.two(s), 0.2)"),
        {3: "changes from call to call"},
    ),
    "batch_norm": ("h", BATCH_NORM, {3: "without chance"}),
    "whole_times": (
        "h", of_times("return self.one((1000 * t).long().to(t)) + self.two(s)"),
        {0: "up to 1 and 1000", 2: "du/dt: the JVP is 0", 4: "t is rounded"},
    ),
    "half_times": (
        "h", of_times("return self.one(t.bfloat16().to(t)) + self.two(s.bfloat16().to(s))"),
        {4: "t and h is rounded"},
    ),
    "both_in_one_array": (
        "h", of_times("a = torch.stack([t, 9 * s], 1)[..., None] * self.one.frequencies; "
                      "return self.one.mlp(torch.cat([a.cos(), a.sin()], 2)).sum(1)"),
        {0: "cosines of (t, h), frequencies up to 1 and 9"},
    ),
    "one_after_the_other": (
        "h", of_times("return self.one(torch.cat([t, s])).view(2, len(t), -1).sum(0)"), {},
    ),
    "in_place": (
        "h", of_times("x = torch.zeros(4, 12).to(t); x += self.one(t); return x + self.two(s)"),
        {},
    ),
}  # fmt: skip
FLAX = """
import flax.linen as nn

class Net(nn.Module):
    num_classes: int = 7

    @nn.compact
    def __call__(self, z, t, s, y):
        def embed(t):
            a = t[:, None] * jnp.exp(-jnp.linspace(0, 4, 8)).astype(t.dtype)
            return nn.Dense(12)(jnp.concatenate([jnp.cos(a), jnp.sin(a)], 1))
        x = nn.Dense(12)(z.reshape(len(z), -1)) + embed(t) + embed(s) + nn.Embed(8, 12)(y)
        x = nn.Dropout(RATE, deterministic=RATE == 0)(jnp.tanh(x))
        return nn.Dense(48)(x).reshape(z.shape)
"""
LABEL_DROPOUT = """        drop = jax.random.bernoulli(self.make_rng("dropout"), 0.2, y.shape)
        y = jnp.where(drop, 7, y)
        x = nn.Dense(12)"""


def made(times):
    return f"def build(): return make(times=lambda p, t, s, scale: {times})"


JAX_CASES = {
    "right": ("h", "def build(): return make()", {}),
    "flax": ("h", "RATE = 0.0" + FLAX + "def build(): return Net()", {}),
    "t_and_r": ("r", "def build(): return make()", {0: "cosines of (t, r)"}),
    "scaled": ("h", "def build(): return make(1000.0)", {0: "up to 1000"}),
    "t_only": (
        "h", made("embedding(p['one'], t, scale)"), {0: "does not depend on h"},
    ),
    "divides_by_h": (
        "h", made("times(p, t, s * s / s, scale)"), {1: "u is not finite where r = t"},
    ),
    "detached": (
        "h", made("times(p, jax.lax.stop_gradient(t), s, scale)"), {2: "du/dt: the JVP is 0"},
    ),
    "half_times": (
        "h", made("times(p, t.astype('bfloat16').astype(t.dtype), s, scale)"), {4: "t is rounded"},
    ),
    "dropout": (
        "h", "RATE = 0.2" + FLAX + "def build(): return Net()",
        {3: "it draws in training mode"},
    ),
    "label_dropout": (
        "h", "RATE = 0.0" + FLAX.replace("        x = nn.Dense(12)", LABEL_DROPOUT)
        + "def build(): return Net()", {3: "labels are dropped inside it"},
    ),
}  # fmt: skip
CASES = [("torch", name) for name in TORCH_CASES] + [("jax", name) for name in JAX_CASES]


def examined(framework, name, given):
    second, build, expected = {"torch": TORCH_CASES, "jax": JAX_CASES}[framework][name]
    text = {"torch": TORCH, "jax": JAX}[framework].replace("SECOND", second)
    return findings(given(framework, f"{text}\n{build}{SHAPE}")), expected


@pytest.mark.parametrize(("framework", "name"), CASES, ids=[f"{f}-{n}" for f, n in CASES])
def test_a_real_network_is_told_by_its_lines(framework, name, given):
    pytest.importorskip(framework)
    if "flax" in name:
        pytest.importorskip("flax")
    found, expected = examined(framework, name, given)
    assert len(found) == 5, found
    assert all(isinstance(line, Finding) and line.what == "network" for line in found)
    for number, line in enumerate(found):
        if number in expected:
            assert expected[number] in line.code, line
            assert line.verdict != "same"
        else:
            assert line.verdict == "same", line
    if not expected:
        assert found[0].code == T_AND_H
