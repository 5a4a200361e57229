"""The linear layer computes the same in the form of each platform."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from impls.meanflow_jax import layers  # noqa: E402

X = np.linspace(-1, 1, 2 * 3 * 5, dtype=np.float32).reshape(2, 3, 5)
KERNEL = np.linspace(-0.7, 1.3, 5 * 4, dtype=np.float32).reshape(5, 4) ** 3


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32, jnp.bfloat16])
def test_a_kernel_in_its_own_dtype_is_the_kernel(dtype):
    with jax.enable_x64(True):
        kernel = jnp.asarray(KERNEL).astype(dtype) * jnp.asarray(1 / 3, dtype)
        unit = jnp.eye(5, dtype=dtype)
        assert jnp.array_equal(layers._product_of_exact(unit, kernel), unit @ kernel)


@pytest.mark.parametrize(("platform", "held"), [("tpu", True), ("cpu", False), ("cuda", False)])
def test_for_a_tpu_the_kernel_is_held_in_its_own_dtype(platform, held):
    def product(x, kernel):
        return layers.linear(x, kernel, jnp.zeros(4, jnp.float32))

    exported = jax.export.export(jax.jit(product), platforms=[platform])(X, KERNEL)
    text = exported.mlir_module()
    assert ("reduce_precision" in text) == held
    assert "dot_general" in text
