"""Bugs in the autoencoder."""

from __future__ import annotations

from .plant import mutants

AUTOENCODER = mutants(
    """
@ reference/autoencoder.py
downsampling is padded above and to the left
- ((0, 0), (0, 1), (0, 1), (0, 0))
+ ((0, 0), (1, 0), (1, 0), (0, 0))
> encoder_matches

the log-variance is not clipped
- np.exp(0.5 * np.clip(log_variance, *LOG_VARIANCE_LIMITS))
+ np.exp(0.5 * log_variance)
> encoder_matches

the deviation is the variance
- np.exp(0.5 * np.clip
+ np.exp(np.clip
> encoder_matches

the decoder has as many residual blocks as the encoder
- range(config.layers_per_block + 1)
+ range(config.layers_per_block)
> decoder_matches

an image is enlarged by repeating it beside itself
- x.repeat(2, axis=1).repeat(2, axis=2)
+ np.tile(x, (1, 2, 2, 1))
> decoder_matches

attention in the autoencoder is not scaled
-  * float(channels**-0.5)
> encoder_matches decoder_matches

GroupNorm has PyTorch's default epsilon
- GROUP_NORM_EPS = 1e-6
+ GROUP_NORM_EPS = 1e-5
> encoder_matches decoder_matches

@ impls/meanflow_jax/autoencoder.py
convolution kernels are turned on their side
- array.transpose(2, 3, 1, 0)
+ array.transpose(3, 2, 1, 0)
> encoder_matches decoder_matches

@ impls/meanflow_torch/autoencoder.py
an image is turned on its side
- images.movedim(-1, 1)
+ images.transpose(-1, 1)
> encoder_matches decoder_matches
"""
)
