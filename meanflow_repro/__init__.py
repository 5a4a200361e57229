"""The `meanflow` command. Its subcommands import what they need when they run."""

import os
import sys
from collections.abc import Sequence

INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, which is 2 for an error of usage."""
    # Float64 checks need 64-bit mode, and exact float32 products, before JAX is imported.
    os.environ.setdefault("JAX_ENABLE_X64", "1")
    os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
    given = sys.argv[1:] if arguments is None else arguments
    try:  # whatever is imported, an interrupt is one line
        from impls.common.errors import UserError
        from meanflow_repro.process import notices_on_stderr

        try:
            with notices_on_stderr():
                return _subcommand(given)
        except UserError as error:
            print(f"meanflow: {error}", file=sys.stderr)
            return 2
    except KeyboardInterrupt:
        return interrupted()


def run() -> None:
    """Entry point of the console command, in a process of its own."""
    try:
        from meanflow_repro.process import run as run_guarded

        status = run_guarded(main, interrupted)
    except KeyboardInterrupt:  # before main or after it
        status = interrupted()
    sys.exit(status)


def interrupted() -> int:
    """Print one line for an interrupt; returns the exit status."""
    print("meanflow: interrupted", file=sys.stderr)
    return INTERRUPTED


def _subcommand(arguments: Sequence[str]) -> int:
    """Import the subcommands and run the one named on the command line."""
    if list(arguments) == ["--version"]:
        from impls.common.environment import release

        print(f"meanflow {release()}")
        return 0
    from meanflow_repro import (  # noqa: F401  in the order of their help
        verify,
        diagnose,
        train,
        sample,
        evaluate,
        convert,
        prepare,
        statistics,
        fid_check,
        bench,
        plan,
        ablations,
        tables,
        results,
        config,
    )
    from meanflow_repro.options import app, spell_out

    about = (
        "MeanFlow in JAX and PyTorch: verify implementations, diagnose ports, train, sample, score,"
        " benchmark, plan."
        " meanflow --version prints the version."
    )
    status: int = app.cli(prog="meanflow", description=about, args=spell_out(arguments))
    return status
