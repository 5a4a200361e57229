"""`python -m impls` is the `meanflow` command."""

from impls.cli import run

run()
