"""The `meanflow` command. Its subcommands import what they need when they run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from impls.cli import (  # noqa: F401
    conversion,
    evaluation,
    measuring,
    results,
    scoring,
    statistics,
    training,
    verify,
)
from impls.cli.options import app, spell_out_keys
from impls.common.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 2 for what the user can mend."""
    # Float64 checks need 64-bit mode, and exact float32 products, before JAX is imported.
    os.environ.setdefault("JAX_ENABLE_X64", "1")
    os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
    try:
        given = sys.argv[1:] if arguments is None else arguments
        status: int = app.cli(prog="meanflow", args=spell_out_keys(given))
    except UserError as error:
        print(f"meanflow: {error}", file=sys.stderr)
        return 2
    return status


def run() -> None:
    """Entry point of the console command."""
    sys.exit(main())
