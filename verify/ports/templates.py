"""Files to fill in for a port, which `--template` prints: template_torch.py, template_jax.py."""

from pathlib import Path
from typing import Literal


def text(framework: Literal["torch", "jax"]) -> str:
    """Text of the file to fill in."""
    return Path(__file__).with_name(f"template_{framework}.py").read_text(encoding="utf-8")
