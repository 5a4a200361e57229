"""Fixed position embedding of the DiT, not a parameter."""

import numpy as np
from numpy.typing import NDArray

MAX_PERIOD = 10000.0


def position_embedding(width: int, grid: int) -> NDArray[np.float64]:
    """Fixed 2-D sine-cosine position embedding: [grid * grid, width] float64, tokens row-major.

    The first half of the width encodes the column (w), the second the row (h); each half is
    [sin, cos] of width/4 frequencies 10000^(-k / (width/4)).
    """
    quarter = width // 4
    frequencies = MAX_PERIOD ** (-np.arange(quarter) / quarter)
    angle = np.arange(grid)[:, None] * frequencies
    axis = np.concatenate([np.sin(angle), np.cos(angle)], axis=-1)
    row, column = np.divmod(np.arange(grid * grid), grid)
    return np.concatenate([axis[column], axis[row]], axis=-1)
