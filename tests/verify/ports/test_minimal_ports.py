"""The minimal ports compute what the project's own implementations compute from the same draws."""

import importlib

import numpy as np
import pytest
from variants import minimal

from impls.common.config_files import from_sizes
from impls.common.types import Batch, Draws
from impls.data import digits
from verify.cases import perturbed_parameters

SIZES = {
    "input_size": 4, "patch_size": 2, "in_channels": 1, "hidden_size": 8, "depth": 2,
    "num_heads": 2, "mlp_ratio": 2.0, "num_classes": 10,
}  # fmt: skip
BATCH, SEED, STEPS = 32, 3, 4
CONFIG = from_sizes(SIZES, {})  # the official method


@pytest.fixture(params=["torch", "jax"])
def framework(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.fixture
def implementation(framework):
    return importlib.import_module(f"impls.meanflow_{framework}")


@pytest.fixture
def port(framework):
    found = {"__name__": "port"}
    exec(compile(minimal(framework), "port.py", "exec"), found)  # noqa: S102
    return found


def problem():
    images, labels = digits()
    images = images[:BATCH, 2:6, 2:6].astype(np.float64)
    params = {k: v.astype(np.float64) for k, v in perturbed_parameters(CONFIG, 1).items()}
    return params, Batch(images, labels[:BATCH].astype(np.int64))


def test_a_minimal_port_has_the_loss_gradient_and_samples_of_the_implementation(
    framework, implementation, port
):
    numbers, batch = problem()
    params = implementation.load_params(CONFIG, numbers)
    drawn, loss, gradient, sampled = {"torch": _torch, "jax": _jax}[framework](
        implementation, port, params, implementation.put(batch)
    )
    assert 0 < (drawn.drop_uniform < CONFIG.method.class_dropout_prob).sum() < BATCH
    right, right_gradient = implementation.get(
        implementation.loss_and_gradient(
            CONFIG, params, implementation.put(batch), implementation.put(drawn)
        )
    )
    times = [1 - i / STEPS for i in range(STEPS + 1)]
    right_sampled = implementation.get(
        implementation.sample(
            CONFIG, params, *map(implementation.put, (2 * batch.images, batch.labels)), times
        )
    )
    np.testing.assert_allclose(loss, right.total, rtol=1e-12)
    np.testing.assert_allclose(sampled, right_sampled, rtol=1e-9, atol=1e-12)
    flat, right_flat = map(implementation.export_params, [CONFIG] * 2, (gradient, right_gradient))
    size = max(np.abs(g).max() for g in right_flat.values())
    for name, array in right_flat.items():
        np.testing.assert_allclose(flat[name], array, rtol=1e-8, atol=1e-11 * size, err_msg=name)


def _torch(implementation, port, params, batch):
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    class Network(torch.nn.Module):
        num_classes = SIZES["num_classes"]

        def forward(self, z, t, h, y):
            z = z.permute(0, 2, 3, 1)
            u = implementation.mean_velocity(CONFIG, params, z, t, h, y)
            return u.permute(0, 3, 1, 2)

    params = {name: array.detach().requires_grad_() for name, array in params.items()}
    images = batch.images.permute(0, 3, 1, 2).contiguous()
    torch.manual_seed(SEED)
    raw, noise, uniform = torch.randn(2, BATCH), torch.randn_like(images), torch.rand(BATCH)
    drawn = (*raw.double(), noise.permute(0, 2, 3, 1), uniform.double(), uniform.double())
    torch.manual_seed(SEED)
    with sdpa_kernel(SDPBackend.MATH):  # the one that has a forward-mode derivative
        loss = port["loss"](Network(), images, batch.labels)
    gradient = torch.autograd.grad(loss, list(params.values()))
    sampled = port["sample"](Network(), 2 * images, batch.labels, STEPS).permute(0, 2, 3, 1)
    return (
        Draws(*(array.numpy() for array in drawn)),
        loss.item(),
        dict(zip(params, gradient, strict=True)),
        sampled.numpy(),
    )


def _jax(implementation, port, params, batch):
    import jax

    class Network:
        num_classes = SIZES["num_classes"]

        def __call__(self, params, z, t, h, y):
            return implementation.mean_velocity(CONFIG, params, z, t, h, y)

    key = jax.random.key(SEED)
    key_t, key_e, key_y = jax.random.split(key, 3)
    shape, dtype = batch.images.shape, batch.images.dtype
    raw = jax.random.normal(key_t, (2, BATCH), dtype)
    noise, uniform = jax.random.normal(key_e, shape, dtype), jax.random.uniform(key_y, (BATCH,))
    loss, gradient = jax.jit(
        jax.value_and_grad(
            lambda params: port["loss"](Network(), params, batch.images, batch.labels, key)
        )
    )(params)
    sampled = jax.jit(
        lambda params: port["sample"](Network(), params, 2 * batch.images, batch.labels, STEPS, key)
    )(params)
    drawn = Draws(*(np.asarray(array) for array in (*raw, noise, uniform, uniform)))
    return drawn, float(loss), gradient, np.asarray(sampled)
