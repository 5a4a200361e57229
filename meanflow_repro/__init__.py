"""The `meanflow` command. Its subcommands import what they need when they run."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from impls.common.errors import Notice, UserError
from meanflow_repro import (  # noqa: F401  the subcommands, in the order of their help
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
from meanflow_repro.options import app, spell_out_keys


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 2 for what the user can mend."""
    # Float64 checks need 64-bit mode, and exact float32 products, before JAX is imported.
    os.environ.setdefault("JAX_ENABLE_X64", "1")
    os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
    try:
        given = sys.argv[1:] if arguments is None else arguments
        with _notices_on_stderr():
            status: int = app.cli(prog="meanflow", args=spell_out_keys(given))
    except UserError as error:
        print(f"meanflow: {error}", file=sys.stderr)
        return 2
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
    """Entry point of the console command."""
    sys.exit(main())
