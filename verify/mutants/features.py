"""Bugs in the features that FID is made of, and in the distance."""

from __future__ import annotations

from .plant import COMMON, Mutant

BOTH = "legacy_inception_features_match clean_inception_features_match"
LEGACY = "legacy_inception_features_match"


def _inception(package: str, name: str, old: str, new: str, caught_by: str) -> Mutant:
    return Mutant(name, package, "vision/inception.py", old, new, tuple(caught_by.split()))


def _reference(name: str, old: str, new: str, caught_by: str) -> Mutant:
    return _inception("reference", name, old, new, caught_by)


def _jax(name: str, old: str, new: str, caught_by: str) -> Mutant:
    return _inception("impls/meanflow_jax", name, old, new, caught_by)


def _fid(file: str, name: str, old: str, new: str) -> Mutant:
    return Mutant(name, COMMON, file, old, new, ("frechet_distance_matches_its_definition",))


FEATURES = (
    _reference(
        "average pools count what is beyond the image",
        "return total / count",
        "return total / 9",
        BOTH,
    ),
    _reference(
        "the last block averages, as in torchvision",
        'within("mixed_10."), x, _max_pool_same(x)',
        'within("mixed_10."), x, _average_pool(x)',
        BOTH,
    ),
    _reference("batch norm has PyTorch's epsilon", "EPSILON = 1e-3", "EPSILON = 1e-5", BOTH),
    _reference(
        "images are resized with half-pixel centres",
        "place = place + x.dtype.type(1 / size - 1 / SIDE)",
        "place = place + 0",
        LEGACY,
    ),
    _reference(
        "the clean resize does not smooth where it shrinks",
        "channel.resize((SIDE, SIDE), Image.Resampling.BICUBIC)",
        "channel.resize((SIDE, SIDE), Image.Resampling.NEAREST)",
        "clean_inception_features_match",
    ),
    _reference(
        "floats are taken to lie in 0..1",
        'images.astype(model["output.weight"].dtype)',
        'images.astype(model["output.weight"].dtype) * (1 if images.dtype == np.uint8 else 255)',
        "inception_reads_bytes_and_floats_alike",
    ),
    _jax(
        "levels are divided by 127.5",
        'stem("conv", (x - 128) / 128, 2, "VALID")',
        'stem("conv", (x - 127.5) / 127.5, 2, "VALID")',
        BOTH,
    ),
    _jax(
        "images are resized with their corners aligned",
        "source = np.arange(SIDE) * (size / SIDE)",
        "source = np.arange(SIDE) * ((size - 1) / (SIDE - 1))",
        LEGACY,
    ),
    _fid(
        "fid/frechet.py",
        "a covariance's factor keeps the order of its pivots",
        "factor[pivots - 1] = ",
        "factor[:] = ",
    ),
    _fid(
        "fid/moments.py",
        "the covariance is biased",
        "self.scatter / (self.num_samples - 1)",
        "self.scatter / self.num_samples",
    ),
)
