"""How XLA compiles what is checked: quickly, and only once.

The problems are tiny, so that nearly all of a run is compilation. Unless the full run is asked for,
XLA leaves its optimizations out; what it has compiled is kept in the user's cache folder.
"""

import hashlib
import importlib.metadata
import os
import platform
import shutil
from pathlib import Path

# Without optimizations, and by the older code generator, which takes half the time.
QUICK = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
LIMIT = 256 * 2**20  # bytes; a run of every check leaves about 25 MB
PREFIX = "xla-"
FOLDER = "JAX_COMPILATION_CACHE_DIR"  # read by JAX; one that the user has set is left alone


def prepare(*, full: bool, cache: bool) -> None:
    """Set the environment for XLA, before JAX is imported, in this process and those it starts.

    Args:
        full: compile as training does, with all of XLA's optimizations.
        cache: keep what is compiled, and use what was kept.
    """
    # Threads of PyTorch, BLAS and XLA would mostly wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("NPROC", "1")
    # Several processes share a GPU where there is one.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if not full:
        os.environ.setdefault("XLA_FLAGS", QUICK)
    if cache and FOLDER not in os.environ and (folder := cache_folder()):
        os.environ[FOLDER] = str(folder)
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


def cache_folder() -> Path | None:
    """Folder for programs compiled by this version of XLA for this kind of processor.

    XLA compiles for the instructions of the processor at hand, and its own key does not name them.
    None where there is no XLA, or where the folder cannot be made.
    """
    try:
        version = importlib.metadata.version("jaxlib")
    except importlib.metadata.PackageNotFoundError:
        return None
    key = hashlib.sha256(f"{version} {_instructions()}".encode()).hexdigest()[:12]
    folder = _home() / f"{PREFIX}{key}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def shrink_cache(limit: int = LIMIT) -> None:
    """Remove the oldest entries until what is left, of every version, has at most `limit` bytes."""
    entries = []
    for file in _home().glob(f"{PREFIX}*/*"):
        try:
            found = file.stat()
        except OSError:  # another run removed it
            continue
        entries.append((found.st_mtime, found.st_size, file))
    total = sum(size for _, size, _ in entries)
    for _, size, file in sorted(entries):
        if total <= limit:
            break
        file.unlink(missing_ok=True)
        total -= size
    for folder in _home().glob(f"{PREFIX}*"):
        if not any(folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)


def _home() -> Path:
    """This project's folder in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "meanflow-repro"


def _instructions() -> str:
    """What the processor understands, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    flags = [line for line in lines if line.startswith(("flags", "Features"))]
    return flags[0] if flags else f"{platform.machine()} {platform.processor()}"
