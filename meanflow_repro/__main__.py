"""`python -m meanflow_repro` is the `meanflow` command."""

from meanflow_repro import run

if __name__ == "__main__":
    run()
