"""Settings of XLA for a run of checks: fast compilation, and a cache of compiled programs.

The problems are tiny, so nearly all the time of a run is compilation. Except in full runs, XLA
compiles without optimizations; compiled programs are kept in the user's cache folder.
"""

import hashlib
import importlib.metadata
import os
import platform
import shutil
from pathlib import Path

from impls.common.paths import cache_home

# Without optimizations, and with the older code generator, which takes half the time.
QUICK = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
LIMIT = 256 * 2**20  # bytes; a run of every check leaves about 25 MB
PREFIX = "xla-"
FOLDER = "JAX_COMPILATION_CACHE_DIR"  # read by JAX; one that the user has set is left alone


def prepare(*, full: bool, cache: bool) -> None:
    """Set environment variables for XLA before JAX is imported, here and in worker processes.

    Args:
        full: compile with all of XLA's optimizations, as training does.
        cache: read and write compiled programs in the user's cache folder.
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

    XLA compiles for the instruction set of this processor, which its own cache key does not name.
    None if there is no XLA, or the folder cannot be created.
    """
    try:
        version = importlib.metadata.version("jaxlib")
    except importlib.metadata.PackageNotFoundError:
        return None
    key = hashlib.sha256(f"{version} {_instructions()}".encode()).hexdigest()[:12]
    folder = cache_home() / f"{PREFIX}{key}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def shrink_cache(limit: int = LIMIT) -> None:
    """Remove the oldest entries until the cache, over all versions, has at most `limit` bytes."""
    entries = []
    for file in cache_home().glob(f"{PREFIX}*/*"):
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
    for folder in cache_home().glob(f"{PREFIX}*"):
        if not any(folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)


def _instructions() -> str:
    """Instruction set of the processor, as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    flags = [line for line in lines if line.startswith(("flags", "Features"))]
    return flags[0] if flags else f"{platform.machine()} {platform.processor()}"
