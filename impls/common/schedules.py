"""Learning-rate schedule with restarts: first step and length of its cosine cycles."""

import numpy as np
from numpy.typing import NDArray

from impls.common.config import TrainingConfig


def cycle_table(training: TrainingConfig) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """First step (counted from the end of warm-up) and length of each cosine cycle.

    The first cycle has cycle_steps, or all steps up to num_steps; each is cycle_growth times as
    long as the one before it (T_mult of Loshchilov and Hutter, SGDR, 2017). Without growth one row
    stands for all cycles.

    Returns:
        starts, lengths: [cycle] int32, up to the largest int32 step.
    """
    length = training.cycle_steps or max((training.num_steps or 0) - training.warmup_steps, 1)
    starts, lengths = [0], [length]
    last = np.iinfo(np.int32).max
    while training.cycle_growth > 1 and starts[-1] + lengths[-1] <= last:
        starts.append(starts[-1] + lengths[-1])
        lengths.append(min(lengths[-1] * training.cycle_growth, last))
    return np.array(starts, np.int32), np.array(lengths, np.int32)
