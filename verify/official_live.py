"""Cases made on the spot by the authors' own code, in a process of its own.

golden_writer.py runs there on a user's checkout, with random settings, and writes golden folders;
here they are read like any others.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from impls.common.errors import UserError
from verify.golden import Problems, load_golden, load_trainings
from verify.official_checkout import CheckoutError, refuse_others
from verify.official_settings import NUM_STEPS, random_settings

WRITER = Path(__file__).parent / "golden_writer.py"


def run_official(
    checkout: Path,
    num_settings: int,
    seed: int,
    progress: Callable[[str], None] = lambda _: None,
) -> Problems:
    """Run the authors' forward, train step and sampler on random settings.

    Args:
        checkout: a checkout of their repository; nothing is written there.
        progress: called with a line of text before the work.

    Raises:
        UserError: when the folder is no checkout, JAX is missing, or their code fails.
    """
    try:
        refuse_others(checkout)
    except CheckoutError as error:
        raise UserError(f"--official: {error}") from error
    missing = [name for name in ("jax", "flax", "optax") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"--official runs the authors' JAX code, which needs the package {missing[0]}:"
            ' install it with pip install -e ".[jax]"'
        )
    networks = random_settings(num_settings, seed)
    progress(f"official: {num_settings} settings by the code of {checkout}")
    with tempfile.TemporaryDirectory(prefix="meanflow-official-") as scratch:
        output = Path(scratch)
        files = [output / f"network_{i}.json" for i in range(len(networks))]
        for file, settings in zip(files, networks, strict=True):
            file.write_text(json.dumps(settings))
        _write(checkout, files, output, seed)
        # A golden folder for each network; with one network the folder is the output itself.
        folders = [output / f.stem for f in files] if len(files) > 1 else [output]
        cases = tuple(case for folder in folders for case in load_golden(folder))
        trainings = tuple(
            # Every folder has a file of this name: errors are told apart by it.
            replace(training, name=f"{next(iter(settings))} {training.name}")
            for folder, settings in zip(folders, networks, strict=True)
            for training in load_trainings(folder)
        )
        provenance = json.loads((output / "provenance.json").read_text())
    about = {"official_settings": num_settings, "official_seed": seed}
    about |= {"official_commit": provenance["commit"] or "unknown"}
    return Problems(cases, trainings, (_note(checkout, provenance, about),), about)


def _write(checkout: Path, files: list[Path], output: Path, seed: int) -> None:
    """Run golden_writer.py on the checkout; raise UserError with what it said, if it fails."""
    command = [sys.executable, str(WRITER), "--official", str(checkout), "--output", str(output)]
    command += ["--cases", *map(str, files), "--seed", str(seed)]
    command += ["--train", str(NUM_STEPS), "--all-gradients"]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    if done.returncode:
        raise UserError(f"the code of {checkout} fails{_complaint(done.stderr, checkout)}")


def _environment() -> dict[str, str]:
    """Their code as it stands: on the CPU, in float32; errors without frames left out."""
    own = {
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "0",
        "JAX_TRACEBACK_FILTERING": "off",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # the problems are tiny
    }
    return {**os.environ, **own}


def _complaint(said: str, checkout: Path) -> str:
    """Where and how their code failed, in a few words, from a traceback."""
    places = re.findall(r'^ *File "(.+)", line (\d+)', said, re.MULTILINE)
    inside = [
        f" at {Path(file).relative_to(checkout.resolve())} line {line}"
        for file, line in places
        if Path(file).is_relative_to(checkout.resolve())
    ]
    errors = re.findall(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt)\b.*$", said, re.MULTILINE)
    last = errors or said.strip().splitlines() or ["it ended without a word"]
    return f"{inside[-1] if inside else ''}: {last[-1][:300]}"


def _note(checkout: Path, provenance: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Where the cases come from, in a sentence for the report."""
    commit = provenance["commit"] and f"commit {provenance['commit']}"
    libraries = provenance["libraries"]
    versions = ", ".join(f"{name} {libraries[name]}" for name in ("jax", "flax", "optax"))
    shims = ", ".join(provenance["shims"]) or "nothing"
    return (
        f"official: the authors' code of {checkout} ({commit or 'git knows no commit'}) ran on"
        f" {versions}; put in place from outside: {shims};"
        f" {about['official_settings']} random settings, seed {about['official_seed']}"
    )
