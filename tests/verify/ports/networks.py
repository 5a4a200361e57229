"""A small network for the minimal ports and their variants, and what a port computes with it."""

from typing import NamedTuple

import numpy as np

BATCH, NUM_CLASSES, SEED = 32, 10, 3
WEIGHTS = np.array([0.8, -0.6])


class Computed(NamedTuple):
    """What a port computes from one seed."""

    loss: float
    gradient: np.ndarray  # [2], of the loss by the network's parameters
    samples: list[np.ndarray]  # after 1, 2 and 4 steps, from the same noise


def computed(framework, source, seed=SEED):
    """What the port of this source computes with the small network."""
    port = {"__name__": "port"}
    exec(compile(source, "port.py", "exec"), port)  # noqa: S102
    return {"torch": _torch, "jax": _jax}[framework](port, seed)


def images_and_labels():
    """Images [batch, height, width, channel] in -1..1, all different, and labels."""
    rows = np.arange(BATCH * 4 * 4 * 3, dtype=float)
    return np.sin(rows * rows / 7).reshape(BATCH, 4, 4, 3), np.arange(BATCH) * 7 % NUM_CLASSES


def _torch(port, seed):
    import torch

    class Network(torch.nn.Module):
        num_classes = NUM_CLASSES

        def __init__(self):
            super().__init__()
            self.weights = torch.nn.Parameter(torch.tensor(WEIGHTS))

        def forward(self, *given, **named):
            return _answer(port, torch.sin, self.weights, *given, **named)

    net = Network()
    images, labels = (torch.tensor(a) for a in images_and_labels())
    images = images.permute(0, 3, 1, 2).contiguous()
    torch.manual_seed(seed)
    loss = _first(port["loss"](net, images, labels)).mean()
    loss.backward()
    noise = 2 * images.flip(0)
    samples = [_sampled(port, net, noise, labels, num_steps) for num_steps in (1, 2, 4)]
    return Computed(loss.item(), net.weights.grad.numpy(), samples)


def _jax(port, seed):
    import jax
    import jax.numpy as jnp

    class Network:
        num_classes = NUM_CLASSES

        def __call__(self, params, *given, **named):
            # jax.jvp wants the tangents that a port makes of an answer to have its images' dtype.
            dtype = port["network"](*given, **named)["z"].dtype
            return _answer(port, jnp.sin, params.astype(dtype), *given, **named)

    net, params, key = Network(), jnp.array(WEIGHTS), jax.random.key(seed)
    images, labels = (jnp.array(a) for a in images_and_labels())
    loss, gradient = jax.value_and_grad(
        lambda w: _first(port["loss"](net, w, images, labels, key)).mean()
    )(params)
    noise = 2 * images[::-1]
    samples = [
        _sampled(port, net, params, noise, labels, num_steps, key) for num_steps in (1, 2, 4)
    ]
    return Computed(float(loss), np.asarray(gradient), samples)


def _answer(port, sin, weights, *given, **named):
    """A smooth function of all that the network is given, with pixels that depend on each other."""
    says = port["network"](*given, **named)
    z, scale = says["z"], says.get("time_scale", 1)
    t = says["t"].reshape(-1, 1, 1, 1) / scale
    y = says["labels"].reshape(-1, 1, 1, 1) + 0 * t
    if "h" in says:
        h = says["h"].reshape(t.shape) / scale
    else:  # a network of one time has neither
        h = t - (says["r"].reshape(t.shape) / scale if "r" in says else t)
    phase = weights[0] * t + weights[1] * h + 2 * t * h + 0.7 * y
    whole = (z**2).sum((1, 2, 3)).reshape(-1, 1, 1, 1)
    u = weights[0] * sin(z + phase) + weights[1] * sin(0.1 * whole + phase)
    return says["answer"](u, 0 * u) if "answer" in says else u


def _first(returned):
    return returned[0] if isinstance(returned, tuple) else returned


def _sampled(port, *arguments):
    if "sample" not in port:
        return np.empty(0)
    try:
        return np.asarray(port["sample"](*arguments))
    except (NotImplementedError, ValueError):
        return np.empty(0)
