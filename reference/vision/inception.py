"""Inception-v3 features, from which FID and the Inception score are computed."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from ..layers import Array

Tensors = dict[str, Array]
Conv = Callable[..., Array]  # (name, x, stride) -> the output of that layer

SIDE = 299  # pixels that the network reads
EPSILON = 1e-3  # of batch norm


def load_inception(weights: Any) -> Tensors:
    """Inception-v3 with its weights on the device; it computes in the dtype of its arrays."""
    tensors: Tensors = weights.tensors
    return tensors


def inception_features(model: Tensors, images: Array, mode: str) -> Array:
    """Inception-v3 features (the last pooling layer) of images resized to 299 x 299.

    features = pool(layers((x - 128) / 128)), where x is resized as TensorFlow 1 did in mode
    `legacy_tensorflow`, and as clean-fid does in mode `clean`

    Args:
        images: [n, height, width, 3] in 0..255.

    Returns:
        [n, features] in the model's dtype.
    """
    resize = {"legacy_tensorflow": _resize_as_tensorflow_1, "clean": _resize_by_pillow}[mode]
    x = resize(images.astype(model["output.weight"].dtype))
    return _layers(model, (x - 128) / 128)


def _resize_as_tensorflow_1(x: Array) -> Array:
    """Bilinear resize of TensorFlow 1, sampled where `affine_grid` and `grid_sample` sample.

    Output pixel k lies at (2 k + 1) / 299 - 1 in an image from -1 to 1, is moved by
    1 / size - 1 / 299, and reads the input at ((place + 1) size - 1) / 2 = k size / 299.
    """
    for axis in (1, 2):
        size = x.shape[axis]
        place = ((2 * np.arange(SIDE) + 1) / SIDE - 1).astype(x.dtype)
        place = place + x.dtype.type(1 / size - 1 / SIDE)
        source = (((place + 1) * size - 1) / 2).clip(0, size - 1)
        low = np.floor(source).astype(np.int64)
        share = (source - low).astype(x.dtype).reshape([-1 if a == axis else 1 for a in range(4)])
        high = np.minimum(low + 1, size - 1)
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return x


def _resize_by_pillow(x: Array) -> Array:
    """Bicubic resize of Pillow (antialiased where it shrinks), in float32, clipped to 0..255."""
    resized = np.empty((len(x), SIDE, SIDE, 3), x.dtype)
    for n in range(len(x)):
        for c in range(3):
            channel = Image.fromarray(x[n, :, :, c].astype(np.float32))
            resized[n, :, :, c] = channel.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return resized.clip(0, 255)


def _layers(tensors: Tensors, x: Array) -> Array:
    """Network after the resize: [n, 299, 299, 3] in -1..1 -> [n, features]"""

    def within(block: str) -> Conv:
        return partial(_conv, tensors, f"layers.{block}")

    stem = within("")
    x = stem("conv_1", stem("conv", x, 2), 1)
    x = _max_pool(stem("conv_2", x))
    x = _max_pool(stem("conv_4", stem("conv_3", x), 1))
    for block in ("mixed.", "mixed_1.", "mixed_2."):
        x = _block_a(within(block), x)
    x = _block_b(within("mixed_3."), x)
    for block in ("mixed_4.", "mixed_5.", "mixed_6.", "mixed_7."):
        x = _block_c(within(block), x)
    x = _block_d(within("mixed_8."), x)
    x = _block_e(within("mixed_9."), x, _average_pool(x))
    x = _block_e(within("mixed_10."), x, _max_pool_same(x))
    return x.mean((1, 2))


def _block_a(conv: Conv, x: Array) -> Array:
    """Branches: 1 x 1; 5 x 5; two 3 x 3; pooling."""
    small = conv("tower.conv_1", conv("tower.conv", x))
    twice = conv("tower_1.conv_2", conv("tower_1.conv_1", conv("tower_1.conv", x)))
    return _side_by_side(conv("conv", x), small, twice, conv("tower_2.conv", _average_pool(x)))


def _block_b(conv: Conv, x: Array) -> Array:
    """Branches, of stride 2: 3 x 3; two 3 x 3; pooling."""
    twice = conv("tower.conv_2", conv("tower.conv_1", conv("tower.conv", x)), 2)
    return _side_by_side(conv("conv", x, 2), twice, _max_pool(x))


def _block_c(conv: Conv, x: Array) -> Array:
    """Branches: 1 x 1; 7 x 7 as 1 x 7 and 7 x 1; two such 7 x 7; pooling."""
    once = conv("tower.conv_2", conv("tower.conv_1", conv("tower.conv", x)))
    twice = conv("tower_1.conv_2", conv("tower_1.conv_1", conv("tower_1.conv", x)))
    twice = conv("tower_1.conv_4", conv("tower_1.conv_3", twice))
    return _side_by_side(conv("conv", x), once, twice, conv("tower_2.conv", _average_pool(x)))


def _block_d(conv: Conv, x: Array) -> Array:
    """Branches, of stride 2: 3 x 3; 7 x 7 as 1 x 7 and 7 x 1, then 3 x 3; pooling."""
    small = conv("tower.conv_1", conv("tower.conv", x), 2)
    large = conv("tower_1.conv_2", conv("tower_1.conv_1", conv("tower_1.conv", x)))
    return _side_by_side(small, conv("tower_1.conv_3", large, 2), _max_pool(x))


def _block_e(conv: Conv, x: Array, pooled: Array) -> Array:
    """Branches: 1 x 1; 1 x 3 and 3 x 1 in parallel; 3 x 3, then 1 x 3 and 3 x 1; pooling."""
    y = conv("tower_conv", x)
    z = conv("tower_1_conv_1", conv("tower_1_conv", x))
    one, two = conv("tower_mixed_conv", y), conv("tower_mixed_conv_1", y)
    three, four = conv("tower_1_mixed_conv", z), conv("tower_1_mixed_conv_1", z)
    return _side_by_side(conv("conv", x), one, two, three, four, conv("tower_2_conv", pooled))


def _conv(tensors: Tensors, block: str, name: str, x: Array, stride: int = 0) -> Array:
    """Convolution without bias (*), batch norm, ReLU.

    relu((weight * x - mean) / sqrt(var + epsilon) + beta), where y = weight * x is
    y[n, i, j, o] = sum over c, k, l of w[o, c, k, l] x[n, stride i + k, stride j + l, c]

    Args:
        stride: of a convolution without padding; 0 stands for stride 1 with zero padding that keeps
            height and width.
    """
    weight, beta, mean, var = (
        tensors[f"{block}{name}.{part}"] for part in ("weight", "beta", "mean", "var")
    )
    high, wide = weight.shape[2:]
    if not stride:
        x = np.pad(x, ((0, 0), (high // 2, high // 2), (wide // 2, wide // 2), (0, 0)))
    seen = sliding_window_view(x, (high, wide), (1, 2))[:, :: stride or 1, :: stride or 1]
    y = np.tensordot(seen, weight, ([3, 4, 5], [1, 2, 3]))
    return np.maximum((y - mean) / np.sqrt(var + x.dtype.type(EPSILON)) + beta, 0)


def _max_pool(x: Array) -> Array:
    """Max pooling, 3 x 3, stride 2, no padding."""
    return sliding_window_view(x, (3, 3), (1, 2))[:, ::2, ::2].max((4, 5))


def _max_pool_same(x: Array) -> Array:
    """Max pooling, 3 x 3 around each pixel, over the pixels inside the image only."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    return sliding_window_view(padded, (3, 3), (1, 2)).max((4, 5))


def _average_pool(x: Array) -> Array:
    """Average pooling, 3 x 3 around each pixel, over the pixels inside the image only."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    inside = np.pad(np.ones_like(x[:1]), ((0, 0), (1, 1), (1, 1), (0, 0)))
    total, count = (sliding_window_view(y, (3, 3), (1, 2)).sum((4, 5)) for y in (padded, inside))
    return total / count


def _side_by_side(*branches: Array) -> Array:
    return np.concatenate(branches, -1)
