"""Where a number was measured: code, machine and library versions."""

import hashlib
import os
import platform
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# What a run, or `meanflow tables` after it, writes.
WRITTEN = (
    "results/records", "results/samples", "results/figures", "results/tables",
    "results/report/index.html", "README.md",
)  # fmt: skip
LIBRARIES = ("numpy", "scipy", "jax", "jaxlib", "flax", "optax", "torch", "libtpu")


def environment() -> dict[str, Any]:
    """Commit, dirty flag, machine and library versions; a library that is absent is left out."""
    # What a run records itself makes no number another.
    written = [f":(exclude){name}" for name in WRITTEN]
    commit, dirty = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", ".", *written)
    return {
        "commit": commit or "unknown",
        "dirty": bool(dirty) or commit is None,
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "processor": _processor(),
            "num_cpus": os.cpu_count(),
        },
        "python": platform.python_version(),
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
    }


def release() -> str:
    """Version of this project, as it is installed or as its checkout says."""
    if installed := _version("meanflow-repro"):
        return installed
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(about["project"]["version"])


def num_threads() -> dict[str, int | str]:
    """Processors that this process may use, and what the environment says of threads."""
    usable = getattr(os, "sched_getaffinity", lambda _pid: range(os.cpu_count() or 1))(0)
    named = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS")
    told = {name: value for name in named if (value := os.environ.get(name))}
    return {"num_usable_cpus": len(usable), **told}


def machine_id() -> str:
    """Six hexadecimal digits that differ from machine to machine and name none of them."""
    return hashlib.sha256(f"{platform.node()} {_processor()}".encode()).hexdigest()[:6]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor's name as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _git(*arguments: str) -> str | None:
    """Output of a git command in this checkout; None where there is no checkout or no git."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
