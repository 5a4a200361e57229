"""Bugs in the autoencoder, in the features that FID is made of, and in the distance."""

from .plant import mutants

VISION = mutants(
    """
@ reference/vision/autoencoder.py
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

@ impls/meanflow_jax/vision/autoencoder.py
convolution kernels are turned on their side
- array.transpose(2, 3, 1, 0)
+ array.transpose(3, 2, 1, 0)
> encoder_matches decoder_matches

@ impls/meanflow_torch/vision/autoencoder.py
an image is turned on its side
- images.movedim(-1, 1)
+ images.transpose(-1, 1)
> encoder_matches decoder_matches

@ reference/vision/inception.py
average pools count what is beyond the image
- return total / count
+ return total / 9
> legacy_inception_features_match clean_inception_features_match

the last block averages, as in torchvision
- within("mixed_10."), x, _max_pool_same(x)
+ within("mixed_10."), x, _average_pool(x)
> legacy_inception_features_match clean_inception_features_match

batch norm has PyTorch's epsilon
- EPSILON = 1e-3
+ EPSILON = 1e-5
> legacy_inception_features_match clean_inception_features_match

images are resized with half-pixel centres
- place = place + x.dtype.type(1 / size - 1 / SIDE)
+ place = place + 0
> legacy_inception_features_match

the clean resize does not smooth where it shrinks
- channel.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
+ channel.resize((SIDE, SIDE), Image.Resampling.NEAREST)
> clean_inception_features_match

floats are taken to lie in 0..1
- images.astype(model["output.weight"].dtype)
+ images.astype(model["output.weight"].dtype) * (1 if images.dtype == np.uint8 else 255)
> inception_reads_bytes_and_floats_alike

@ impls/meanflow_jax/vision/inception.py
levels are divided by 127.5
- stem("conv", (x - 128) / 128, 2, "VALID")
+ stem("conv", (x - 127.5) / 127.5, 2, "VALID")
> legacy_inception_features_match clean_inception_features_match

images are resized with their corners aligned
- source = np.arange(SIDE) * (size / SIDE)
+ source = np.arange(SIDE) * ((size - 1) / (SIDE - 1))
> legacy_inception_features_match

@ impls/fid/distance.py
a covariance's factor keeps the order of its pivots
- factor[pivots - 1] =
+ factor[:] =
> frechet_distance_matches_its_definition

@ impls/fid/moments.py
the covariance is biased
- self.scatter / (self.num_samples - 1)
+ self.scatter / self.num_samples
> frechet_distance_matches_its_definition
"""
)
