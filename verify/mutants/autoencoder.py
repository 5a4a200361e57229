"""Bugs in the autoencoder."""

from __future__ import annotations

from .plant import Mutant


def _in(package: str, name: str, old: str, new: str, caught_by: str) -> Mutant:
    return Mutant(name, package, "vision/autoencoder.py", old, new, tuple(caught_by.split()))


def _reference(name: str, old: str, new: str, caught_by: str) -> Mutant:
    return _in("reference", name, old, new, caught_by)


AUTOENCODER = (
    _reference(
        "downsampling is padded above and to the left",
        "((0, 0), (0, 1), (0, 1), (0, 0))",
        "((0, 0), (1, 0), (1, 0), (0, 0))",
        "encoder_matches",
    ),
    _reference(
        "the log-variance is not clipped",
        "np.exp(0.5 * np.clip(log_variance, *LOG_VARIANCE_LIMITS))",
        "np.exp(0.5 * log_variance)",
        "encoder_matches",
    ),
    _reference(
        "the deviation is the variance",
        "np.exp(0.5 * np.clip",
        "np.exp(np.clip",
        "encoder_matches",
    ),
    _reference(
        "the decoder has as many residual blocks as the encoder",
        "range(config.layers_per_block + 1)",
        "range(config.layers_per_block)",
        "decoder_matches",
    ),
    _reference(
        "an image is enlarged by repeating it beside itself",
        "x.repeat(2, axis=1).repeat(2, axis=2)",
        "np.tile(x, (1, 2, 2, 1))",
        "decoder_matches",
    ),
    _reference(
        "attention in the autoencoder is not scaled",
        " * float(channels**-0.5)",
        "",
        "encoder_matches decoder_matches",
    ),
    _reference(
        "GroupNorm has PyTorch's default epsilon",
        "GROUP_NORM_EPS = 1e-6",
        "GROUP_NORM_EPS = 1e-5",
        "encoder_matches decoder_matches",
    ),
    _in(
        "impls/meanflow_jax",
        "convolution kernels are turned on their side",
        "array.transpose(2, 3, 1, 0)",
        "array.transpose(3, 2, 1, 0)",
        "encoder_matches decoder_matches",
    ),
    _in(
        "impls/meanflow_torch",
        "an image is turned on its side",
        "images.movedim(-1, 1)",
        "images.transpose(-1, 1)",
        "encoder_matches decoder_matches",
    ),
)
