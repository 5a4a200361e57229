"""`meanflow verify`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from tyro.conf import Positional, UseAppendAction

from impls.cli.options import app, check_count, check_writable
from impls.common.errors import UserError

SUBJECTS = ("impls.meanflow_jax", "impls.meanflow_torch")
REFERENCE = "reference"
NUM_SETTINGS = 20  # of the authors' code: about three minutes on two cores


@app.command(name="verify")
def verify(
    subjects: Positional[tuple[str, ...]] = (),
    /,
    *,
    check: UseAppendAction[tuple[str, ...]] = (),
    golden: Path | None = None,
    official: Path | None = None,
    official_settings: int | None = None,
    official_seed: int | None = None,
    json: Path | None = None,
    record: Path | None = None,
    list: bool = False,  # noqa: A002  the name of the option
) -> int:
    """Check implementations against the reference, the official numbers and each other.

    Args:
        subjects: module names; both implementations by default.
        check: a check or a family of checks, shell patterns allowed; may be repeated.
        golden: folder of golden files to check against, instead of the bundled one.
        official: checkout of the authors' code (Gsunshine/meanflow) to run and check against.
        official_settings: how many random settings to run it with (20 unless told).
        official_seed: what these settings, their parameters and inputs follow from (0).
        json: file to write every outcome to.
        record: folder to append records of this run to.
        list: print the checks with what they say, and stop.
    """
    # The problems are tiny: threads of PyTorch and BLAS would mostly wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # … and XLA would spend minutes on making them fast.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

    from rich.console import Console

    from verify import report as reports
    from verify.golden import stored, unread
    from verify.official_live import run_official
    from verify.runner import run, select

    live = _live_options(official, official_settings, official_seed, golden)
    console = Console(highlight=False, soft_wrap=True)
    checks = select(check or (("official",) if live else ()))
    if list:
        for chosen in checks:
            console.print(f"{chosen.family}: {chosen.name}\n    {chosen.sentence}", markup=False)
        return 0
    if live and "official" not in {chosen.family for chosen in checks}:
        raise UserError("--official brings cases for the family official, which --check leaves out")
    check_writable(json, record)
    modules = _load_subjects(subjects, (REFERENCE, *SUBJECTS) if live else SUBJECTS)
    with console.status("") as status:
        problems = run_official(*live, progress=status.update) if live else stored(golden)
        cases = problems.cases
        found = run(modules, checks, cases, problems.trainings, progress=status.update)
    found.notes, found.settings = problems.notes, problems.settings
    reports.print_report(found, console)
    for case in cases:
        if extra := unread(case):
            console.print(f"not checked in golden case {case.name}: {', '.join(extra)}")
    if json:
        reports.write_json(found, json)
    if record:
        console.print(f"records appended to {reports.write_records(found, record)}")
    return 1 if found.failed else 0


def _live_options(
    official: Path | None, num_settings: int | None, seed: int | None, golden: Path | None
) -> tuple[Path, int, int] | None:
    """Checkout, number of settings and seed; None where the authors' code is not to be run."""
    for option, value in (("settings", num_settings), ("seed", seed)):
        if value is not None and official is None:
            raise UserError(
                f"--official-{option} needs --official, a checkout of the authors' code"
            )
    check_count("--official-settings", num_settings)
    check_count("--official-seed", seed, least=0)
    if official is None:
        return None
    if golden is not None:
        raise UserError("--official makes cases of its own: leave out --golden, or run both apart")
    return official, NUM_SETTINGS if num_settings is None else num_settings, seed or 0


def _load_subjects(names: Sequence[str], default: Sequence[str]) -> list[tuple[str, ModuleType]]:
    """Modules by name; of the default ones, those whose framework is installed."""
    from verify.probe import NotInstalled, load_subject

    if names:
        return [(name, load_subject(name)) for name in names]
    modules: list[tuple[str, ModuleType]] = []
    missing = []
    for name in default:
        try:
            modules.append((name, load_subject(name)))
        except NotInstalled as error:
            missing.append(str(error))
    if len(missing) == len(SUBJECTS):
        raise UserError(
            "; ".join(missing) + ': install one with pip install -e ".[jax]" or ".[torch]"'
        )
    for line in missing:
        print(f"not checked: {line}")
    return modules
