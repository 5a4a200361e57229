"""Verdict on a measured FID beside a published one: one rule for every table.

Both are estimates: the measured one has a 95 % interval from resampled features, the published one
is rounded, and both depend on the training seed. One seed resolves about 1.3 % of FID.
"""

from typing import Literal

from results.published import Published, one_seed

Verdict = Literal["agrees", "differs", "inconclusive"]
IMAGES_PER_EPOCH = 1_281_167  # of ImageNet's training set
SAME_EPOCHS = 0.05  # relative difference up to which two numbers of epochs count as equal
PUBLISHED_SAMPLES = 50_000  # of every published FID; FID falls as the number of samples grows
RULE = (
    "agrees: the whole 95 % interval lies within 1.3 % of the expected FID, which is what one seed"
    " resolves; differs: the whole interval lies outside; inconclusive: anything else, and any FID"
    " of other than 50,000 samples"
)


def rounding(expected: Published) -> float:
    """Rounding error of a published FID, half a unit of its last digit: 0.005 for 18.70."""
    return 0.5 * 10.0**-expected.places


def fid_verdict(
    interval: tuple[float, float], expected: float, num_samples: int, rounding: float = 0.0
) -> Verdict:
    """Verdict on a FID with a 95 % interval.

    Args:
        expected: the published FID.
        num_samples: number of samples of the measured one.
        rounding: half a unit of the published number's last digit.
    """
    if num_samples != PUBLISHED_SAMPLES:
        return "inconclusive"
    margin = one_seed() * expected + rounding
    low, high = interval[0] - expected, interval[1] - expected
    if -margin <= low and high <= margin:
        return "agrees"
    return "differs" if low > margin or high < -margin else "inconclusive"
