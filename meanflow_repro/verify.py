"""`meanflow verify`."""

from pathlib import Path
from typing import Literal

from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction

from impls.common.errors import UserError
from meanflow_repro.options import app, check_counts, check_writable

SUBJECTS = ("impls.meanflow_jax", "impls.meanflow_torch")
REFERENCE = "reference"
NUM_SETTINGS = 20  # of the authors' code: about three minutes on two cores


@app.command(name="verify")
def verify(
    subjects: Positional[tuple[str, ...]] = (),
    /,
    *,
    check: UseAppendAction[tuple[str, ...]] = (),
    full: bool = False,
    dtype: Literal["float64", "float32"] | None = None,
    require: UseAppendAction[tuple[str, ...]] = (),
    deviations: Path | None = None,
    no_deviations: FlagCreatePairsOff[bool] = False,
    golden: Path | None = None,
    official: Path | None = None,
    official_settings: int | None = None,
    official_seed: int | None = None,
    json: Path | None = None,
    record: Path | None = None,
    verbose: bool = False,
    traceback: bool = False,
    processes: int | None = None,
    cache: bool = True,
    list: bool = False,  # noqa: A002  the name of the option
) -> int:
    """Check implementations against the reference, the official numbers and each other.

    Exit status: 0 if every check passes; 1 if a check fails; 2 if no function of a subject was
    checked, or an option or a file is wrong. Failures listed in deviations.toml beside a subject's
    file, each with its reason, are known and do not change the status; an entry without a failure
    is stale, which gives 1. Progress goes to stderr, the report to stdout. Ctrl-C ends the run
    with a report of the checks done so far and status 130, SIGTERM with 143.

    Args:
        subjects: module names or paths of Python files; both implementations by default.
        check: a check or a family of checks, shell patterns allowed; may be repeated.
        full: compile with every optimization, as training does, and run the slow checks too.
        dtype: run in this dtype only; in both by default.
        require: checks or families (patterns) that fail if they are not applicable in any dtype.
        deviations: file of known deviations, instead of deviations.toml beside the subject's file.
        no_deviations: ignore files of known deviations.
        golden: folder of golden files to check against, instead of the bundled one.
        official: checkout of the authors' code (Gsunshine/meanflow) to run and check against.
        official_settings: number of random settings to run the authors' code with; 20 by default.
        official_seed: seed of these settings, their parameters and inputs; 0 by default.
        json: file to write every outcome to; "complete" is false in it if the run was interrupted.
        record: folder to append records of this run to, unless it is interrupted.
        verbose: list the checks that were not applicable, and the worst errors of each failure.
        traceback: print the traceback of every exception in the subject.
        processes: number of processes; by default one for few checks, else one per processor.
        cache: keep compiled XLA programs in the user's cache folder.
        list: print the checks and their sentences, and exit.
    """
    from rich.console import Console

    from verify import compilation
    from verify import report as reports
    from verify.deviations import of_subjects
    from verify.golden import stored, unread
    from verify.news import News
    from verify.official.live import run_official
    from verify.outcome import required
    from verify.processes import num_processes, run_spread
    from verify.registry import DTYPES
    from verify.runner import select

    compilation.prepare(full=full, cache=cache)
    live = _live_options(official, official_settings, official_seed, golden)
    console = Console(highlight=False, soft_wrap=True)
    checks = select(check or (("official",) if live else ()), full=full or list)
    demanded = {found.name for found in select(require)} if require else set()
    if list:
        for chosen in checks:
            name = f"{chosen.family}: {chosen.name}{' (--full)' if chosen.full else ''}"
            console.print(f"{name}\n    {chosen.sentence}", markup=False)
        return 0
    if live and "official" not in {chosen.family for chosen in checks}:
        raise UserError("--official makes cases for the family official, which --check leaves out")
    if deviations and no_deviations:
        raise UserError(
            "--deviations names a file and --no-deviations ignores it: give one of them"
        )
    check_counts(processes=processes)
    check_writable(json, record)
    default = (REFERENCE, *SUBJECTS) if live else SUBJECTS
    with News() as news:
        problems = run_official(*live, progress=news.say) if live else stored(golden)
        found = run_spread(
            subjects or default,
            checks,
            problems,
            dtypes=[kind for kind in DTYPES if dtype in (None, kind.__name__)],
            processes=processes or num_processes(checks, long=live is not None),
            skip_missing=not subjects,
            known=lambda tested: {} if no_deviations else of_subjects(tested, deviations),
            progress=news.judged,
        )
    if not found.stopped_by:
        found.outcomes = required(found.outcomes, demanded)
    try:
        reports.print_report(found, console, verbose=verbose, tracebacks=traceback)
        for case in problems.cases:
            if extra := unread(case):
                console.print(f"not checked in golden case {case.name}: {', '.join(extra)}")
    finally:  # also when the pipe is closed early, as in `meanflow verify | head`
        if json:
            reports.write_json(found, json)
        if record and not found.stopped_by:  # records of part of a run would be read as all of it
            recorded = reports.write_records(found, record)
    if record:
        console.print(
            "nothing recorded: the run was interrupted"
            if found.stopped_by
            else f"records appended to {recorded}"
        )
    compilation.shrink_cache()
    return found.exit_status


def _live_options(
    official: Path | None, num_settings: int | None, seed: int | None, golden: Path | None
) -> tuple[Path, int, int] | None:
    """Checkout, number of settings and seed; None where the authors' code is not to be run."""
    for option, value in (("settings", num_settings), ("seed", seed)):
        if value is not None and official is None:
            raise UserError(
                f"--official-{option} needs --official, a checkout of the authors' code"
            )
    check_counts(official_settings=num_settings)
    check_counts(least=0, official_seed=seed)
    if official is None:
        return None
    if golden is not None:
        raise UserError("--official makes cases of its own: leave out --golden, or run both apart")
    return official, NUM_SETTINGS if num_settings is None else num_settings, seed or 0
