"""`meanflow verify`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from tyro.conf import Positional, UseAppendAction

from impls.cli.options import app, check_writable
from impls.common.errors import UserError

SUBJECTS = ("impls.meanflow_jax", "impls.meanflow_torch")


@app.command(name="verify")
def verify(
    subjects: Positional[tuple[str, ...]] = (),
    /,
    *,
    check: UseAppendAction[tuple[str, ...]] = (),
    golden: Path | None = None,
    json: Path | None = None,
    record: Path | None = None,
    list: bool = False,  # noqa: A002  the name of the option
) -> int:
    """Check implementations against the reference, the official numbers and each other.

    Args:
        subjects: module names; both implementations by default.
        check: a check or a family of checks, shell patterns allowed; may be repeated.
        golden: folder of golden files to check against, instead of the bundled one.
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
    from verify.golden import BUNDLED, load_golden, load_trainings, unread
    from verify.runner import run, select

    console = Console(highlight=False, soft_wrap=True)
    checks = select(check)
    if list:
        for chosen in checks:
            console.print(f"{chosen.family}: {chosen.name}\n    {chosen.sentence}", markup=False)
        return 0
    folder = golden or BUNDLED
    cases, trainings = load_golden(folder), load_trainings(folder)
    check_writable(json, record)
    modules = _load_subjects(subjects)
    with console.status("") as status:
        found = run(modules, checks, cases, trainings, progress=status.update)
    reports.print_report(found, console)
    for case in cases:
        if extra := unread(case):
            console.print(f"not checked in golden case {case.name}: {', '.join(extra)}")
    if json:
        reports.write_json(found, json)
    if record:
        console.print(f"records appended to {reports.write_records(found, record)}")
    return 1 if found.failed else 0


def _load_subjects(names: Sequence[str]) -> list[tuple[str, ModuleType]]:
    """Modules by name; of the default ones, those whose framework is installed."""
    from verify.probe import NotInstalled, load_subject

    if names:
        return [(name, load_subject(name)) for name in names]
    modules: list[tuple[str, ModuleType]] = []
    missing = []
    for name in SUBJECTS:
        try:
            modules.append((name, load_subject(name)))
        except NotInstalled as error:
            missing.append(str(error))
    if not modules:
        raise UserError(
            "; ".join(missing) + ': install one with pip install -e ".[jax]" or ".[torch]"'
        )
    for line in missing:
        print(f"not checked: {line}")
    return modules
