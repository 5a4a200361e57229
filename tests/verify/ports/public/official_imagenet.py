"""Gsunshine/meanflow, the official code with shims for current JAX."""

import os
from pathlib import Path

from verify.official.checkout import official_code

framework = "jax"
CODE = official_code(Path(os.environ["MEANFLOW_PORTS"]) / "Gsunshine+meanflow")
CODE.__enter__()  # for good: the patches hold while theirs runs
import meanflow


def network(z, t, h, y, train=True, key=None):
    return {"z": z, "t": t, "h": h, "labels": y}


def call(net, params, key, *arguments, method):
    meanflow.models_dit.Given = lambda **_: lambda *x, **options: net(params, *x, **options)
    model = meanflow.MeanFlow("Given", {}, num_classes=net.num_classes)
    return model.apply({}, *arguments, method=method, rngs={"gen": key})


def loss(net, params, images, labels, key):
    return call(net, params, key, images, labels, method="forward")


def sample(net, params, noise, labels, steps, key):
    times = meanflow.jnp.linspace(1.0, 0.0, steps + 1)
    for i in range(steps):
        noise = call(net, params, key, noise, labels, i, times, method="sample_one_step")
    return noise
