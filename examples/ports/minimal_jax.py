"""MeanFlow in about thirty lines of JAX, and the lines by which `meanflow diagnose` reads it.

    meanflow diagnose examples/ports/minimal_jax.py

The objective of arXiv 2505.13447 with the settings of the authors' ImageNet code. The network is
called u(z, t, h, y) with h = t - r; labels are 0 .. num_classes - 1, and num_classes is "no label".
"""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient


def sample_times(key, batch, dtype):
    """Times r <= t, logit-normal, with r = t in the first three quarters of the rows."""
    raw = jax.nn.sigmoid(jax.random.normal(key, (2, batch), dtype) * 1.0 - 0.4)
    t, r = jnp.maximum(*raw), jnp.minimum(*raw)
    equal = jnp.arange(batch) < int(batch * 0.75)
    return t, jnp.where(equal, t, r)


def meanflow_loss(u, num_classes, x, y, key, omega=1.0, kappa=0.5, dropout=0.1, p=1.0, eps=0.01):
    """Loss of the average velocity u on images x [batch, height, width, channel], labels y."""
    batch = len(x)
    key_t, key_e, key_y = jax.random.split(key, 3)
    t, r = sample_times(key_t, batch, x.dtype)
    t4, r4 = t.reshape(-1, 1, 1, 1), r.reshape(-1, 1, 1, 1)
    e = jax.random.normal(key_e, x.shape, x.dtype)
    z = (1 - t4) * x + t4 * e
    v = e - x

    # Guidance: the velocity that the network learns is already guided.
    null = jnp.full_like(y, num_classes)
    zero = jnp.zeros_like(t)
    u_null = u(z, t, zero, null)
    u_y = u(z, t, zero, y)
    v_g = stop_gradient(omega * v + (1 - omega - kappa) * u_null + kappa * u_y)

    # Rows without a label learn the plain velocity.
    num_drop = (jax.random.uniform(key_y, (batch,)) < dropout).sum()
    drop = jnp.arange(batch) < num_drop
    y_in = jnp.where(drop, null, y)
    v_g = jnp.where(drop.reshape(-1, 1, 1, 1), v, v_g)

    # MeanFlow identity: u = v - (t - r) du/dt, with r held fixed.
    one = jnp.ones_like(t)
    tangents = (v_g, one, one)
    u_t, du_dt = jax.jvp(lambda z, t, h: u(z, t, h, y_in), (z, t, t - r), tangents)
    target = stop_gradient(v_g - (t4 - r4).clip(0, 1) * du_dt)

    s = ((u_t - target) ** 2).sum((1, 2, 3))
    weight = 1 / (stop_gradient(s) + eps) ** p
    return (weight * s).mean()


def generate(u, z, y, num_steps):
    """Images from noise z: z <- z - (t - r) u(z, t, t - r, y), from t = 1 to r = 0."""
    times = jnp.linspace(1, 0, num_steps + 1, dtype=z.dtype)
    for t, r in pairwise(times):
        h = t - r
        z = z - h * u(z, jnp.full(len(z), t), jnp.full(len(z), h), y)
    return z


# What `meanflow diagnose` reads: the framework, what the network's arguments are, loss and sampler.

framework = "jax"


def network(z, t, h, y):
    return {"z": z, "t": t, "h": h, "labels": y}


def loss(net, params, images, labels, key):
    return meanflow_loss(partial(net, params), net.num_classes, images, labels, key)


def sample(net, params, noise, labels, steps, key):
    return generate(partial(net, params), noise, labels, steps)
