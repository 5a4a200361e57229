"""Inception features, for FID and the Inception score, on a narrow network of the real topology."""

import functools

import numpy as np

import reference
from impls.common import draws
from impls.common.draws import Stream
from impls.files.inception import CLEAN, LEGACY, read_inception
from verify.cases import Array
from verify.checks.inception import STANDIN
from verify.compare import mismatches, row_error
from verify.probe import Host, Probe, arbiter
from verify.registry import Errors, check, checks

# [height, width] of images: larger and smaller than the network's 299 x 299, and not square
SIZES = ((64, 48), (32, 320))


@functools.cache
def _images() -> tuple[Array, ...]:
    """Two uint8 images of each size: waves of several lengths, and noise on them."""
    made = []
    for number, (height, width) in enumerate(SIZES):
        y, x = np.mgrid[:height, :width] / 32.0
        turn = draws.uniform((2, 1, 1, 3, 3), 3, Stream.CHECK, number)
        phase = turn[..., 0] * 9 + turn[..., 1] * 9 * y[..., None] + turn[..., 2] * 9 * x[..., None]
        noise = draws.uniform((2, height, width, 3), 3, Stream.CHECK, number, 1)
        made.append(((np.sin(phase) + 1) * 96 + noise * 60).astype(np.uint8))
    return tuple(made)


@functools.cache
def _expected(mode: str) -> tuple[Array, ...]:
    """Expected features of each size: the reference in float64."""
    model = _loaded(arbiter()).value
    return tuple(reference.inception_features(model, images, mode) for images in _images())


def _loaded(probe: Probe) -> Host:
    return probe.load_weights("load_inception", read_inception(STANDIN))


MODES = {
    "legacy_inception_features_match":
        ("Features of images resized as TensorFlow 1 did (official FID), against the reference.",
         LEGACY),
    "clean_inception_features_match":
        ("Features of images resized by Pillow's bicubic filter (clean-fid's own mode).", CLEAN),
}  # fmt: skip


@checks("load_inception inception_features", MODES)
def features_match(probe: Probe, mode: str) -> Errors:
    """Features of images of each size."""
    model = _loaded(probe)
    for (height, width), images, expected in zip(SIZES, _images(), _expected(mode), strict=True):
        actual = probe.call("inception_features", model, images, Host(mode))
        yield f"images of {height} x {width}", row_error(actual, expected)


@check("load_inception inception_features", exact=True)
def inception_reads_bytes_and_floats_alike(probe: Probe) -> Errors:
    """uint8 images and the same levels as floats have the same features, every bit."""
    model, images = _loaded(probe), _images()[0]
    for mode in (LEGACY, CLEAN):
        floats = images.astype(probe.dtype)
        found = [probe.call("inception_features", model, x, Host(mode)) for x in (images, floats)]
        yield mode, mismatches(*found)
