"""MeanFlow in about thirty lines of PyTorch, and the lines by which `meanflow diagnose` reads it.

    meanflow diagnose examples/ports/minimal_torch.py

The objective of arXiv 2505.13447 with the settings of the authors' ImageNet code. The network is
called u(z, t, h, y) with h = t - r; labels are 0 .. num_classes - 1, and num_classes is "no label".
"""

from itertools import pairwise

import torch


def sample_times(batch, like):
    """Times r <= t, logit-normal, with r = t in the first three quarters of the rows."""
    raw = torch.sigmoid(torch.randn(2, batch).to(like) * 1.0 - 0.4)
    t, r = torch.maximum(*raw), torch.minimum(*raw)
    equal = (torch.arange(batch) < int(batch * 0.75)).to(like.device)
    return t, torch.where(equal, t, r)


def meanflow_loss(u, x, y, omega=1.0, kappa=0.5, dropout=0.1, p=1.0, eps=0.01):
    """Loss of the average velocity u on images x [batch, channel, height, width], labels y."""
    batch = len(x)
    t, r = sample_times(batch, x)
    t4, r4 = t.reshape(-1, 1, 1, 1), r.reshape(-1, 1, 1, 1)
    e = torch.randn_like(x)
    z = (1 - t4) * x + t4 * e
    v = e - x

    # Guidance: the velocity that the network learns is already guided.
    null = torch.full_like(y, u.num_classes)
    zero = torch.zeros_like(t)
    with torch.no_grad():
        u_null = u(z, t, zero, null)
        u_y = u(z, t, zero, y)
        v_g = omega * v + (1 - omega - kappa) * u_null + kappa * u_y

    # Rows without a label learn the plain velocity.
    num_drop = (torch.rand(batch) < dropout).sum()
    drop = (torch.arange(batch) < num_drop).to(x.device)
    y_in = torch.where(drop, null, y)
    v_g = torch.where(drop.reshape(-1, 1, 1, 1), v, v_g)

    # MeanFlow identity: u = v - (t - r) du/dt, with r held fixed.
    one = torch.ones_like(t)
    tangents = (v_g, one, one)
    u_t, du_dt = torch.func.jvp(lambda z, t, h: u(z, t, h, y_in), (z, t, t - r), tangents)
    target = (v_g - (t4 - r4).clip(0, 1) * du_dt).detach()

    s = ((u_t - target) ** 2).sum((1, 2, 3))
    weight = 1 / (s.detach() + eps) ** p
    return (weight * s).mean()


@torch.no_grad()
def generate(u, z, y, num_steps):
    """Images from noise z: z <- z - (t - r) u(z, t, t - r, y), from t = 1 to r = 0."""
    times = torch.linspace(1, 0, num_steps + 1).to(z)
    for t, r in pairwise(times):
        h = t - r
        z = z - h * u(z, t.expand(len(z)), h.expand(len(z)), y)
    return z


# What `meanflow diagnose` reads: the framework, what the network's arguments are, loss and sampler.

framework = "torch"


def network(z, t, h, y):
    return {"z": z, "t": t, "h": h, "labels": y}


def loss(net, images, labels):
    return meanflow_loss(net, images, labels)


def sample(net, noise, labels, steps):
    return generate(net, noise, labels, steps)
