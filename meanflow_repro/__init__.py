"""The `meanflow` command. Its subcommands import what they need when they run."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from impls.common.errors import Notice, UserError

INTERRUPTED = 130  # 128 + SIGINT, as a shell tells it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 2 for what the user can mend."""
    # Float64 checks need 64-bit mode, and exact float32 products, before JAX is imported.
    os.environ.setdefault("JAX_ENABLE_X64", "1")
    os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
    given = sys.argv[1:] if arguments is None else arguments
    try:
        with _notices_on_stderr():
            return _subcommand(given)
    except UserError as error:
        print(f"meanflow: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return _interrupted()


def _subcommand(arguments: Sequence[str]) -> int:
    """Import the subcommands and run the one that is asked for."""
    if list(arguments) == ["--version"]:
        from impls.common.environment import release

        print(f"meanflow {release()}")
        return 0
    from meanflow_repro import (  # noqa: F401  in the order of their help
        verify,
        train,
        sample,
        evaluate,
        convert,
        prepare,
        statistics,
        fid_check,
        bench,
        ablations,
        tables,
        results,
        config,
    )
    from meanflow_repro.options import app, spell_out

    about = "meanflow --version prints the version."
    status: int = app.cli(prog="meanflow", description=about, args=spell_out(arguments))
    return status


@contextmanager
def _notices_on_stderr() -> Iterator[None]:
    """Print each notice once, on a line of its own; other warnings are left as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", Notice)
        show_other = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *at: Any, **options: Any) -> None:
            if issubclass(category, Notice):
                print(f"meanflow: {message}", file=sys.stderr)
            else:
                show_other(message, category, *at, **options)

        warnings.showwarning = show
        yield


def run() -> None:
    """Entry point of the console command, in a process of its own."""
    try:
        from meanflow_repro import process

        status = process.run(main)
    except KeyboardInterrupt:  # outside of main
        status = _interrupted()
    sys.exit(status)


def _interrupted() -> int:
    print("meanflow: interrupted", file=sys.stderr)
    return INTERRUPTED
