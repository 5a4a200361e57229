"""`python -m impls` is the `meanflow` command."""

from impls.cli import run

if __name__ == "__main__":
    run()
