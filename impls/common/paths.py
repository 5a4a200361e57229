"""Paths as a user writes them."""

import os
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """The path with `~` and `~user` replaced; a user that is not known is left as it stands."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  Path.expanduser raises RuntimeError


def cache_home() -> Path:
    """Folder of this project in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "meanflow-repro"
