"""Cost of a session of the noxfile on a fresh checkout: time, download, disk and memory.

    python -m bench.studies.commands verify verify-jax

Each runs twice in a clone of this checkout's HEAD with empty caches, and is recorded.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.records import keep, provenance
from impls.common.errors import UserError
from results.schema import RECORDS, Record

ROOT = Path(__file__).parents[2]


def main(sessions: list[str]) -> int:
    """Measure sessions one after the other and record them.

    Raises:
        UserError: when a session fails, with the end of its output.
    """
    for session in sessions:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(session, Path(folder))
        about = {"subject": "project", "settings": {"session": session}, **provenance("cpu")}
        units = {True: "seconds", False: "bytes"}
        records = [
            Record(what=f"command/{name}", value=value, unit=units["seconds" in name], **about)
            for name, value in found.items()
        ]
        keep(records, "commands", RECORDS, Console())
    return 0


def measure(session: str, folder: Path) -> dict[str, float]:
    """Cost of a session: seconds of the first and second run, bytes of download, disk, memory.

    Args:
        folder: empty folder for the clone and the caches.
    """
    checkout, caches = folder / "checkout", folder / "caches"
    subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
    environment = os.environ | {"XDG_CACHE_HOME": str(caches), "PIP_CACHE_DIR": str(caches / "pip")}
    environment.pop("PYTHONPATH", None)
    first = _seconds(session, checkout, environment)
    again = _seconds(session, checkout, environment)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # of the largest process
    made = checkout / ".nox" / session
    return {
        "first_seconds": first,
        "again_seconds": again,
        "download_bytes": float(sum(map(_size, _addresses(made)))),
        "disk_bytes": float(sum(p.stat().st_size for p in made.rglob("*") if p.is_file())),
        "peak_bytes": float(peak),
    }


def _seconds(session: str, checkout: Path, environment: dict[str, str]) -> float:
    """Wall time of a session that succeeds."""
    start = time.monotonic()
    command = [sys.executable, "-m", "nox", "-s", session]
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr[-500:]
        raise UserError(f"nox -s {session} ended with status {done.returncode}: {said}")
    return round(time.monotonic() - start, 1)


def _addresses(made: Path) -> list[str]:
    """Download addresses of the packages of an environment."""
    pip = [str(made / "bin" / "python"), "-m", "pip", "--quiet"]
    frozen = subprocess.run(
        [*pip, "freeze", "--exclude-editable"], capture_output=True, text=True, check=True
    ).stdout.split()
    dry = ("install", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-")
    told = subprocess.run([*pip, *dry, *frozen], capture_output=True, text=True, check=True).stdout
    report: dict[str, Any] = json.loads(told)
    return [package["download_info"]["url"] for package in report["install"]]


def _size(address: str) -> int:
    """Size in bytes of a file on the web or on disk, without reading it."""
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return int(answer.headers["Content-Length"])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"commands: {error}")
