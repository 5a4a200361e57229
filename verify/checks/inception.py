"""Inception features, for FID and the Inception score, on a narrow network of the real topology."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

import reference
from impls.common import draws
from impls.common.draws import Stream
from impls.common.errors import NotInstalledError
from impls.files.inception import CLEAN, LEGACY, InceptionWeights, read_inception
from verify.cases import Array, as_dtype
from verify.compare import mismatches, row_error, worst
from verify.probe import Host, Probe
from verify.registry import NotApplicable, check

STANDIN = Path(__file__).parent.parent / "fixtures" / "standins" / "inception.pt"
# [height, width] of images: larger and smaller than the network's 299 x 299, and not square
SIZES = ((64, 48), (32, 320))


@functools.cache
def _weights() -> InceptionWeights:
    return read_inception(STANDIN)


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
    """What the reference makes of each size, in float64."""
    model = reference.load_inception(_cast(np.float64))
    return tuple(reference.inception_features(model, images, mode) for images in _images())


def _cast(dtype: Any) -> InceptionWeights:
    weights = _weights()
    return weights._replace(tensors=as_dtype(weights.tensors, dtype))


def _model(probe: Probe) -> Host:
    try:
        return Host(probe.subject.load_inception(_cast(probe.dtype)))
    except NotInstalledError as error:
        raise NotApplicable(str(error)) from error


def _error(probe: Probe, mode: str) -> float:
    model, errors = _model(probe), {}
    for size, images, expected in zip(SIZES, _images(), _expected(mode), strict=True):
        actual = probe.call("inception_features", model, images, Host(mode))
        errors[f"images of {size[0]} x {size[1]}"] = row_error(actual, expected)
    return worst(errors)


@check("inception", "load_inception inception_features")
def legacy_inception_features_match(probe: Probe) -> float:
    """Features of images resized as TensorFlow 1 did (official FID), against the reference."""
    return _error(probe, LEGACY)


@check("inception", "load_inception inception_features")
def clean_inception_features_match(probe: Probe) -> float:
    """Features of images resized by Pillow's bicubic filter (clean-fid's own mode)."""
    return _error(probe, CLEAN)


@check("inception", "load_inception inception_features", exact=True)
def inception_reads_bytes_and_floats_alike(probe: Probe) -> float:
    """uint8 images and the same levels as floats have the same features, every bit."""
    model, images = _model(probe), _images()[0]
    errors = {}
    for mode in (LEGACY, CLEAN):
        floats = images.astype(probe.dtype)
        found = [probe.call("inception_features", model, x, Host(mode)) for x in (images, floats)]
        errors[mode] = mismatches(*found)
    return worst(errors)
