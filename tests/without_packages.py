"""The command in a process of its own in which some packages cannot be imported."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
JAX, TORCH = ("jax", "jaxlib", "flax", "optax", "orbax"), ("torch",)
MISSING = {"jax": JAX, "torch": TORCH}

WITHOUT = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
from meanflow_repro import main
sys.exit(main(sys.argv[1:]))
"""


def meanflow(missing, *arguments):
    """The command in a process where these packages cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(missing=missing), *arguments],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith("JAX_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done
