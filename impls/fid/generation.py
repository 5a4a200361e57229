"""Generation of samples and their Inception features in one framework, stage by stage.

    noise --samples--> latents --images--> pictures --pixels--> 0..255 --features--> [n, 2048]

A pixel-space network samples images, and needs no autoencoder.
"""

from typing import Any, NamedTuple

from impls.common.config import Config
from impls.common.draws import sampling_labels, sampling_noise
from impls.common.dtypes import as_dtype
from impls.common.errors import UserError
from impls.common.timesteps import sampling_times
from impls.fid.moments import Array
from impls.files.autoencoder import SCALE, Autoencoder
from impls.files.inception import InceptionWeights
from impls.files.pictures import to_uint8


class Source(NamedTuple):
    """Model to score, independent of a framework."""

    config: Config
    params: dict[str, Array]  # canonical
    autoencoder: Autoencoder | None  # None: samples are pictures
    inception: InceptionWeights
    mode: str  # of resizing, one of impls.files.inception.MODES
    num_steps: int | None  # network calls; as configured when None
    seed: int  # of noise and labels


def check_source(source: Source) -> None:
    """Raise UserError for an autoencoder that is missing, or does not fit the network."""
    channels, vae = source.config.network.in_channels, source.autoencoder
    if vae is None and channels != 3:
        raise UserError(
            f"the network makes {channels} channels, which are not an image: give --vae, the folder"
            " of the autoencoder"
        )
    if vae is not None and channels != vae.config.latent_channels:
        raise UserError(
            f"the network makes {channels} channels and the autoencoder takes"
            f" {vae.config.latent_channels}: it is another one, or none is needed"
        )


class Pipeline:
    """Stages from noise to features in one framework: NumPy in, NumPy out."""

    def __init__(self, subject: Any, source: Source) -> None:
        """Load network, autoencoder and Inception into the framework.

        Raises:
            UserError: when a package that the framework needs for it is not installed.
        """
        self.subject, self.source = subject, source
        self._times = sampling_times(source.config, source.num_steps)
        self._params = subject.load_params(source.config, source.params)
        self._inception = subject.load_inception(source.inception)
        if source.autoencoder is not None:
            self._autoencoder = subject.load_autoencoder(source.autoencoder)

    def samples(self, noise: Array, labels: Array) -> Array:
        """Samples of the network: [n, height, width, channel]."""
        put = self.subject.put
        given = self.source.config, self._params, put(noise), put(labels), self._times
        return self._got(self.subject.sample(*given))

    def images(self, samples: Array) -> Array:
        """Decoded images [n, height, width, 3], about in -1..1."""
        if self.source.autoencoder is None:
            return samples
        latents = self.subject.put(samples / samples.dtype.type(SCALE))
        return self._got(self.subject.decode(self._autoencoder, latents))

    def features(self, pixels: Array) -> Array:
        """Features [n, feature] of pixels [n, height, width, 3] uint8."""
        given = self._inception, self.subject.put(pixels), self.source.mode
        return self._got(self.subject.inception_features(*given))

    def run(self, rows: range) -> tuple[Array, Array]:
        """Features [n, feature] and images [n, height, width, 3] of samples by number."""
        images = self.images(self.samples(*inputs(self.source, rows)))
        return self.features(to_uint8(images)), images

    def _got(self, array: Any) -> Array:
        found: Array = self.subject.get(array)
        return found


def num_calls(source: Source) -> int:
    """Number of function evaluations (NFE): network calls per sample."""
    return len(sampling_times(source.config, source.num_steps)) - 1


def inputs(source: Source, rows: range) -> tuple[Array, Array]:
    """Noise and uniformly random labels of samples by number, the same for every framework."""
    config, seed = source.config, source.seed
    return sampling_noise(config, seed, rows), sampling_labels(config, seed, rows)


def in_dtype(source: Source, dtype: Any) -> Source:
    """Source with every tensor cast to a dtype, in which it is then computed."""
    vae, inception = source.autoencoder, source.inception
    return source._replace(
        params=as_dtype(source.params, dtype),
        autoencoder=vae and vae._replace(tensors=as_dtype(vae.tensors, dtype)),
        inception=inception._replace(tensors=as_dtype(inception.tensors, dtype)),
    )
