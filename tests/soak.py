"""Repetitions that take too long for the suite, each act of them recorded: `nox -s soak`.

`-- kills fuzz` runs single acts, `-- --minutes 10` bounds the time of all, `-- --seed N` repeats
the draws of a record. An act that does not come to its end in its time is a random sample, and its
record says of how many; one that is interrupted, or of which nothing ran, is not recorded.
"""

import argparse
import secrets
import sys
import time
from pathlib import Path

import pytest

from bench.records import provenance
from results.schema import RECORDS, Record, append, record_file
from results.tabulate.soak import ACTS

TESTS = Path(__file__).parent
MINUTES = 85  # the last repetitions and the environment take some more
# Share of the time that each act has; what one leaves over is for the next ones.
SHARES = {"kills": 2, "repetitions": 2, "fuzz": 2, "ports": 3, "mutants": 4, "slips": 8}


class Counts:
    """A pytest plugin: how many tests there are, how many of them ran and what they repeated."""

    def __init__(self):
        self.num_tests = self.num_run = self.repetitions = 0
        self.failed: dict[str, None] = {}  # names, each once, in order

    def pytest_runtest_logreport(self, report):
        self.num_tests += report.when == "setup"
        if report.failed:
            self.failed[report.nodeid] = None
        if report.when == "call" and not report.skipped:
            self.num_run += 1
            told = [int(count) for name, count in report.user_properties if name == "repetitions"]
            self.repetitions += sum(told) if told else 1


def main(arguments):
    """Run acts one after the other; returns 0 when all ran and nothing failed, else 1."""
    given = _parser().parse_args(arguments)
    acts = given.acts or list(SHARES)
    ends = time.time() + 60 * given.minutes
    seed = secrets.randbelow(2**32) if given.seed is None else given.seed
    bad: list[str] = []
    for i, act in enumerate(acts):
        share = SHARES[act] / sum(SHARES[later] for later in acts[i:])
        bad += run(act, seed, time.time() + share * (ends - time.time()), given)
    sys.stdout.write("".join(f"FAILED {name}\n" for name in bad) or "Nothing failed.\n")
    return 1 if bad else 0


def run(act, seed, until, given):
    """Run an act and record it; returns what failed.

    Args:
        until: when the last repetition starts, in seconds since 1970.

    Raises:
        SystemExit: when it was interrupted, or the tests could not be collected.
    """
    counts, start = Counts(), time.monotonic()
    about = [f"--soak={act}", f"--soak-seed={seed}", f"--soak-until={until}"]
    workers = ["-n", given.workers, "--dist", "worksteal", "-p", "no:cacheprovider"]
    sys.stdout.write(f"{act} with seed {seed}: {ACTS[act].sentence}\n")
    options = [*about, f"--hypothesis-seed={seed}", *workers, "-q", str(TESTS)]
    code = pytest.main(options, plugins=[counts])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        sys.exit(f"{act} is not recorded: pytest ended with {pytest.ExitCode(code).name}")
    if not counts.num_run and not counts.failed:
        return [f"{act}, which is not recorded: nothing ran"]
    made = outcome(act, seed, counts, round(time.monotonic() - start, 1))
    append([made], record_file(given.record, "soak", made.date))
    return list(counts.failed)


def outcome(act, seed, counts, seconds):
    """The record of an act: how many of its tests failed."""
    return Record(
        subject="soak",
        what=f"soak/{act}",
        value=len(counts.failed),
        unit="1",
        tolerance=0,
        settings={
            "seed": seed,
            "num_tests": counts.num_tests,
            "num_run": counts.num_run,
            ACTS[act].counted: counts.repetitions,
            "seconds": seconds,
        },
        detail="; ".join(counts.failed),
        **provenance(),
    )


def _parser():
    parser = argparse.ArgumentParser(prog="nox -s soak --", description=__doc__)
    parser.add_argument("acts", nargs="*", choices=[*SHARES, []], metavar="ACT",
                        help=f"{', '.join(SHARES)}; all of them when none is named")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for all acts together")
    parser.add_argument("--seed", type=int, help="of draws and order; a random one by default")
    parser.add_argument("--workers", default="2", help="processes")
    parser.add_argument("--record", type=Path, default=RECORDS, help="folder of the records")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
