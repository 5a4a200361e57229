"""Golden cases computed by the authors' code of a user's checkout, in a separate process.

golden_writer.py runs there with random settings and writes golden folders, which are read here like
any others.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from impls.common.errors import UserError
from verify.golden import Problems, stored
from verify.official.checkout import CheckoutError, refuse_others
from verify.official.settings import NUM_STEPS, Settings, random_settings, writer_seed

WRITER = Path(__file__).parent / "golden_writer.py"
WIDE = "float64"  # folder, beside the files in float32, of the same in float64


def run_official(
    checkout: Path, num_settings: int, seed: int, progress: Callable[[str], None] = lambda _: None
) -> Problems:
    """Golden cases of the authors' forward pass, training step and sampler on random settings.

    Args:
        checkout: a checkout of their repository; nothing is written there.
        progress: called with a line of text before the work.

    Raises:
        UserError: when the folder is not a checkout, JAX is missing, or their code fails.
    """
    try:
        refuse_others(checkout)
    except CheckoutError as error:
        raise UserError(f"--official: {error}") from error
    missing = [name for name in ("jax", "flax", "optax") if not _is_installed(name)]
    if missing:
        raise UserError(
            f"--official runs the authors' JAX code, which needs the package {missing[0]}:"
            ' install it with pip install -e ".[jax]"'
        )
    networks = random_settings(num_settings, seed)
    progress(f"official: {num_settings} settings by the code of {checkout}")
    with tempfile.TemporaryDirectory(prefix="meanflow-official-") as scratch:
        folders = [Path(scratch) / f"network_{i}" for i in range(len(networks))]
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            seeds = [writer_seed(seed, i) for i in range(len(networks))]
            list(pool.map(partial(_write, checkout), seeds, folders, networks))
        parts = [_read(folder, ending) for folder in folders for ending in ("", WIDE)]
        provenance = json.loads((folders[0] / "provenance.json").read_text())
    cases = tuple(case for part in parts for case in part.cases)
    trainings = tuple(training for part in parts for training in part.trainings)
    about: dict[str, int | float | str] = {
        "official_settings": num_settings,
        "official_seed": seed,
        "official_commit": provenance["commit"] or "unknown",
    }
    return Problems(cases, trainings, (_note(checkout, provenance, about),), about)


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _write(checkout: Path, seed: int, folder: Path, settings: Settings) -> None:
    """Run golden_writer.py on the checkout; raises UserError with its error if it fails."""
    folder.mkdir()
    cases = folder / "settings.json"
    cases.write_text(json.dumps(settings))
    command = [sys.executable, str(WRITER), "--official", str(checkout), "--output", str(folder)]
    command += ["--cases", str(cases), "--seed", str(seed), "--train", str(NUM_STEPS)]
    command += ["--all-gradients", "--float64", str(folder / WIDE)]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    if done.returncode:
        raise UserError(f"the code of {checkout} fails{_complaint(done.stderr, checkout)}")


def _read(folder: Path, ending: str) -> Problems:
    """Cases and training of one network; the training is named after its setting."""
    found = stored(folder / ending)
    first = found.cases[0].name
    named = (replace(steps, name=f"{first} {steps.name}") for steps in found.trainings)
    return Problems(found.cases, tuple(named))


def _environment() -> dict[str, str]:
    """Environment variables for their code: CPU, float32, complete tracebacks."""
    own = {
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "0",
        "JAX_TRACEBACK_FILTERING": "off",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # the problems are tiny
    }
    return {**os.environ, **own}


def _complaint(said: str, checkout: Path) -> str:
    """Place and reason of a failure of their code, in a few words, from a traceback."""
    places = re.findall(r'^ *File "(.+)", line (\d+)', said, re.MULTILINE)
    inside = [
        f" at {Path(file).relative_to(checkout.resolve())} line {line}"
        for file, line in places
        if Path(file).is_relative_to(checkout.resolve())
    ]
    errors = re.findall(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt)\b.*$", said, re.MULTILINE)
    last = errors or said.strip().splitlines() or ["it ended without a message"]
    return f"{inside[-1] if inside else ''}: {last[-1][:300]}"


def _note(checkout: Path, provenance: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Origin of the cases, in a sentence for the report."""
    commit = provenance["commit"] and f"commit {provenance['commit']}"
    libraries = provenance["libraries"]
    versions = ", ".join(f"{name} {libraries[name]}" for name in ("jax", "flax", "optax"))
    shims = ", ".join(provenance["shims"]) or "nothing"
    return (
        f"official: the authors' code of {checkout} ({commit or 'git knows no commit'}) ran on"
        f" {versions}, unmodified for float32 checks and in float64 for float64 checks; patched in"
        f" from outside: {shims}; {about['official_settings']} random settings,"
        f" seed {about['official_seed']}"
    )
