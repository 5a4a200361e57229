"""Inception-v3 features, from which FID and the Inception score are computed."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from impls.files.inception import CLEAN, SIDE, InceptionWeights, check_images, clean_resize

from ..device import Array, get, put

_EPSILON = 1e-3  # of batch norm
_Conv = Callable[..., Array]  # (name, x, stride, padding) -> the output of that layer


def load_inception(weights: InceptionWeights) -> Any:
    """Inception-v3 with its weights on the device; it computes in the dtype of its arrays.

    Args:
        weights: as `impls.files.inception.read_inception` reads them.

    Raises:
        UserError: when a package that it needs is not installed.
    """
    return put(weights.tensors)


def inception_features(model: Any, images: Array, mode: str) -> Array:
    """Inception-v3 features (the last pooling layer) of images resized to 299 x 299.

    features = pool(layers((x - 128) / 128)), where x is resized as TensorFlow 1 did in mode
    `legacy_tensorflow`, and as clean-fid does in mode `clean`

    Args:
        model: from `load_inception`.
        images: [n, height, width, 3] in 0..255, uint8 or float.
        mode: one of `impls.files.inception.MODES`.

    Returns:
        [n, features] in the model's dtype; there are 2048 features.

    Raises:
        UserError: for an unknown mode.
        ValueError: for images of another shape.
    """
    check_images(images.shape, mode)
    if mode == CLEAN:
        images = put(clean_resize(get(images)))
    x = images.astype(model["output.weight"].dtype)
    return _layers(model, x if mode == CLEAN else _resize(x))


@jax.jit
def _resize(x: Array) -> Array:
    """Bilinear resize of TensorFlow 1, without half-pixel centres.

    source = destination * input / output
    """
    return _stretch(_stretch(x, 1), 2)


def _stretch(x: Array, axis: int) -> Array:
    """Resize along one axis; its source positions are constants of the compiled function."""
    size = x.shape[axis]
    source = np.arange(SIDE) * (size / SIDE)
    low = source.astype(np.int32)
    share = jnp.asarray(source - low, x.dtype)
    share = share.reshape([SIDE if this == axis else 1 for this in range(x.ndim)])
    high = np.minimum(low + 1, size - 1)
    return x.take(low, axis) * (1 - share) + x.take(high, axis) * share


@jax.jit
def _layers(tensors: dict[str, Array], x: Array) -> Array:
    """Network after the resize: [n, 299, 299, 3] in 0..255 -> [n, features]"""

    def within(block: str) -> _Conv:
        return partial(_conv, tensors, f"layers.{block}")

    stem = within("")
    x = stem("conv", (x - 128) / 128, 2, "VALID")  # 149 x 149
    x = stem("conv_1", x, 1, "VALID")
    x = _max_pool(stem("conv_2", x))  # 73 x 73
    x = _max_pool(stem("conv_4", stem("conv_3", x), 1, "VALID"))  # 35 x 35
    for block in ("mixed.", "mixed_1.", "mixed_2."):
        x = _block_a(within(block), x)
    x = _block_b(within("mixed_3."), x)  # 17 x 17
    for block in ("mixed_4.", "mixed_5.", "mixed_6.", "mixed_7."):
        x = _block_c(within(block), x)
    x = _block_d(within("mixed_8."), x)  # 8 x 8
    x = _block_e(within("mixed_9."), x, _average_pool(x))
    x = _block_e(within("mixed_10."), x, _max_pool(x, 1, "SAME"))
    return x.mean((1, 2))


def _block_a(conv: _Conv, x: Array) -> Array:
    y, z = conv("tower.conv", x), conv("tower_1.conv", x)
    return _side_by_side(
        conv("conv", x),
        conv("tower.conv_1", y),
        conv("tower_1.conv_2", conv("tower_1.conv_1", z)),
        conv("tower_2.conv", _average_pool(x)),
    )


def _block_b(conv: _Conv, x: Array) -> Array:
    y = conv("tower.conv_1", conv("tower.conv", x))
    return _side_by_side(
        conv("conv", x, 2, "VALID"), conv("tower.conv_2", y, 2, "VALID"), _max_pool(x)
    )


def _block_c(conv: _Conv, x: Array) -> Array:
    y, z = conv("tower.conv", x), conv("tower_1.conv", x)
    for name in ("tower.conv_1", "tower.conv_2"):
        y = conv(name, y)
    for name in ("tower_1.conv_1", "tower_1.conv_2", "tower_1.conv_3", "tower_1.conv_4"):
        z = conv(name, z)
    return _side_by_side(conv("conv", x), y, z, conv("tower_2.conv", _average_pool(x)))


def _block_d(conv: _Conv, x: Array) -> Array:
    y, z = conv("tower.conv", x), conv("tower_1.conv", x)
    z = conv("tower_1.conv_2", conv("tower_1.conv_1", z))
    return _side_by_side(
        conv("tower.conv_1", y, 2, "VALID"), conv("tower_1.conv_3", z, 2, "VALID"), _max_pool(x)
    )


def _block_e(conv: _Conv, x: Array, pooled: Array) -> Array:
    y = conv("tower_conv", x)
    z = conv("tower_1_conv_1", conv("tower_1_conv", x))
    return _side_by_side(
        conv("conv", x),
        conv("tower_mixed_conv", y),
        conv("tower_mixed_conv_1", y),
        conv("tower_1_mixed_conv", z),
        conv("tower_1_mixed_conv_1", z),
        conv("tower_2_conv", pooled),
    )


def _conv(
    tensors: dict[str, Array],
    block: str,
    name: str,
    x: Array,
    stride: int = 1,
    padding: str = "SAME",
) -> Array:
    """Convolution without bias (*), batch norm, ReLU.

    relu((weight * x - mean) / sqrt(var + epsilon) + beta)
    """
    weight = tensors[f"{block}{name}.weight"]
    mean, var, beta = (
        tensors[f"{block}{name}.{part}"].reshape(1, 1, 1, -1) for part in ("mean", "var", "beta")
    )
    y = lax.conv_general_dilated(
        x,
        weight,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "OIHW", "NHWC"),
        precision=lax.Precision.HIGHEST,
    )
    return jax.nn.relu((y - mean) * lax.rsqrt(var + _EPSILON) + beta)


def _max_pool(x: Array, stride: int = 2, padding: str = "VALID") -> Array:
    window, strides = (1, 3, 3, 1), (1, stride, stride, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, padding)


def _average_pool(x: Array) -> Array:
    """Average pooling, 3 x 3, over the pixels inside the image only."""
    window, strides = (1, 3, 3, 1), (1, 1, 1, 1)
    total = lax.reduce_window(x, 0.0, lax.add, window, strides, "SAME")
    ones = jnp.ones((1, *x.shape[1:3], 1), x.dtype)
    return total / lax.reduce_window(ones, 0.0, lax.add, window, strides, "SAME")


def _side_by_side(*branches: Array) -> Array:
    return jnp.concatenate(branches, -1)
