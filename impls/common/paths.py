"""Paths as a user writes them."""

import os
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """The path with `~` and `~user` replaced; a user that is not known is left as it stands."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  Path.expanduser raises RuntimeError
