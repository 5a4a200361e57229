"""Random draws, each a pure function of (seed, stream, indices).

The bits come from the counter-based generator Philox-4x64 (Salmon et al., SC 2011), keyed by
NumPy's SeedSequence hash of the seed and the indices: integer arithmetic, so they are the same on
every machine and operating system, in every process, and do not depend on what was drawn before.
Normals and uniforms are NumPy's documented transforms of these bits (the ziggurat method; the top
24 bits), rounded to float32 once, so a float64 run sees exactly the numbers of a float32 run. The
check `draws_are_the_recorded_ones` compares them with stored values bit for bit, so it detects a
change of NumPy that alters a stream.
"""

import zlib
from collections.abc import Iterable
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from impls.common.config import Config
from impls.common.networks.table import Network
from impls.common.types import Draws

FloatArray = NDArray[np.float32]


class Stream(IntEnum):
    """Purpose of a random number. A stream's integer is part of the protocol: never renumber."""

    TIME_T = 0
    TIME_R = 1
    NOISE = 2
    LABEL_DROPOUT = 3
    SAMPLE_NOISE = 4
    SAMPLE_LABEL = 5
    INITIAL_PARAMETER = 6
    CHECK = 7  # directions and perturbations of the verification suite
    LATENT = 8  # of a training example, from its mean and deviation
    FLIP = 9  # which training examples are mirrored
    DEVICE = 10  # seeds of generators on a device
    EQUAL_ROW = 11  # which rows have r = t


def generator(seed: int, stream: Stream, *indices: int) -> np.random.Generator:
    """Independent random generator for each (seed, stream, indices)."""
    if seed < 0:
        raise ValueError(f"seed is {seed}, expected a whole number >= 0")
    key = np.random.SeedSequence(seed, spawn_key=(int(stream), *indices))
    return np.random.Generator(np.random.Philox(key))


def mixed_seed(seed: int, step: int) -> int:
    """Seed below 2^63 for each (seed, step), for generators that take one integer."""
    words = np.random.SeedSequence(seed, spawn_key=(int(Stream.DEVICE), step)).generate_state(2)
    return int(words[0]) << 31 ^ int(words[1])


def normal(shape: tuple[int, ...], seed: int, stream: Stream, *indices: int) -> FloatArray:
    """Standard normals, float32."""
    return generator(seed, stream, *indices).standard_normal(shape).astype(np.float32)


def uniform(shape: tuple[int, ...], seed: int, stream: Stream, *indices: int) -> FloatArray:
    """Uniforms on [0, 1), float32 (drawn as such: rounding a double could reach 1)."""
    return generator(seed, stream, *indices).random(shape, dtype=np.float32)


def name_index(name: str) -> int:
    """Hash of a name (CRC-32), the same on every machine, which keys the draws of a tensor."""
    return zlib.crc32(name.encode())


def image_shape(network: Network) -> tuple[int, int, int]:
    """Shape (height, width, channel) of the network's inputs and outputs."""
    return (network.input_size, network.input_size, network.in_channels)


def training_draws(config: Config, seed: int, step: int, batch_size: int | None = None) -> Draws:
    """Random draws of training step `step`, for the whole batch.

    Args:
        batch_size: rows; `config.training.batch_size` when absent.

    Returns:
        Draws of float32 NumPy arrays, see `impls.common.types.Draws` for shapes.
    """
    rows = config.training.batch_size if batch_size is None else batch_size
    time = normal if config.method.noise_dist == "logit_normal" else uniform
    return Draws(
        t_raw=time((rows,), seed, Stream.TIME_T, step),
        r_raw=time((rows,), seed, Stream.TIME_R, step),
        noise=normal((rows, *image_shape(config.network)), seed, Stream.NOISE, step),
        drop_uniform=uniform((rows,), seed, Stream.LABEL_DROPOUT, step),
        equal_uniform=uniform((rows,), seed, Stream.EQUAL_ROW, step),
    )


def sampling_noise(config: Config, seed: int, indices: Iterable[int]) -> FloatArray:
    """Initial noise z_1 of the samples with these indices: [len(indices), height, width, channel].

    Sample i depends on (seed, i) alone, so batch size and device count do not change it.
    """
    shape = image_shape(config.network)
    rows = [normal(shape, seed, Stream.SAMPLE_NOISE, index) for index in indices]
    return np.stack(rows) if rows else np.zeros((0, *shape), np.float32)


def sampling_labels(config: Config, seed: int, indices: Iterable[int]) -> NDArray[np.int32]:
    """Uniformly random labels of the samples with these indices: [len(indices)] int32."""
    high = config.network.num_classes
    rows = [generator(seed, Stream.SAMPLE_LABEL, index).integers(high) for index in indices]
    return np.asarray(rows, np.int32)
