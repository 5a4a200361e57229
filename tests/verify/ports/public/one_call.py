"""One call of each loss and sampler of an adapter, with a trivial network in the port's place.

    python one_call.py ADAPTER.py

It prints JSON: name of loss, or "sample K" of K steps -> "" or the error that the port raised.
"""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np

BATCH, CHANNELS, SIZE, CLASSES = 8, 3, 4, 10


def adapter(path):
    """The adapter as a module."""
    spec = importlib.util.spec_from_file_location("adapter", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def torch_calls(port, images):
    """Calls of a PyTorch port: name -> function that makes the call and returns its array."""
    import torch

    class Network(torch.nn.Module):
        num_classes = CLASSES
        module = property(lambda self: self)  # as of DistributedDataParallel

        def __init__(self):
            super().__init__()
            self.theta = torch.nn.Parameter(torch.tensor(0.7))

        def forward(self, *args, **kwargs):
            return average_velocity(port.network(*args, **kwargs), self.theta, torch)

    net, labels = Network(), torch.arange(BATCH) % CLASSES
    images = torch.as_tensor(images.transpose(0, 3, 1, 2), dtype=torch.float32)

    def loss(function):
        found = function(net, images, labels)
        value = (found[0] if isinstance(found, tuple) else found).mean()
        (grad,) = torch.autograd.grad(value, net.theta)
        return torch.stack([value, grad]).detach()

    def sample(steps):
        return port.sample(net, images, labels, steps).detach()

    return loss, sample, images.shape


def jax_calls(port, images):
    """Calls of a JAX port."""
    import jax
    import jax.numpy as jnp

    class Network:
        num_classes = CLASSES

        def __call__(self, params, *args, **kwargs):
            return average_velocity(port.network(*args, **kwargs), params["theta"], jnp)

        def apply(self, variables, *args, **kwargs):
            return self(variables["params"], *args, **kwargs)

    net, params, key = Network(), {"theta": jnp.array(0.7)}, jax.random.key(0)
    images, labels = jnp.asarray(images), jnp.arange(BATCH) % CLASSES

    def loss(function):
        def value(params):
            found = function(net, params, images, labels, key)
            return jnp.mean(found[0] if isinstance(found, tuple) else found)

        found, grad = jax.value_and_grad(value)(params)
        return jnp.stack([found, grad["theta"]])

    def sample(steps):
        return port.sample(net, params, images, labels, steps, key)

    return loss, sample, images.shape


def average_velocity(told, theta, xp):
    """u(z, t, h, y) = theta z + cos(t) + sin(h) + y / 10."""
    z, t = told["z"], told["t"].reshape(-1)
    h = told["h"].reshape(-1) if "h" in told else t - told["r"].reshape(-1)
    rows = xp.cos(t) + xp.sin(h)
    if told.get("labels") is not None:
        rows = rows + told["labels"] / CLASSES
    u = theta * z + rows.reshape((-1, 1, 1, 1))
    return xp.asarray(u, dtype=z.dtype)


def main(path):
    """Make each call and print what came of it."""
    port = adapter(path)
    images = np.random.RandomState(0).uniform(-1, 1, (BATCH, SIZE, SIZE, CHANNELS))
    make = jax_calls if getattr(port, "framework", "torch") == "jax" else torch_calls
    loss, sample, shape = make(port, images.astype(np.float32))
    calls = {name: (lambda f=value: loss(f), (2,)) for name, value in vars(port).items()
             if name.split("_")[0] == "loss" and callable(value)}  # fmt: skip
    if hasattr(port, "sample"):
        calls.update({f"sample {k}": (lambda k=k: sample(k), tuple(shape)) for k in (1, 2, 4)})
    told = {}
    for name, (call, expected) in calls.items():
        try:
            found = np.asarray(call())
            good = found.shape == expected and np.isfinite(found).all()
            told[name] = "" if good else f"not finite, or of shape {found.shape}"
        except Exception as error:  # noqa: BLE001  a port may raise anything
            told[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
