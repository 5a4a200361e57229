"""`meanflow results`: show records, compare them, and add somebody's result."""

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from impls.common.errors import UserError
from meanflow_repro.options import app

Records = Annotated[Path | None, arg(help="folder of the records; results/records by default.")]
results = tyro.extras.SubcommandApp()
app.command(results, name="results", help="Show and compare records, or add somebody's result.")


@results.command(name="show")
def show(*, what: str = "*", subject: str = "*", records: Records = None) -> int:
    """Print the newest record of each quantity, by subject, settings and protocol.

    Args:
        what: part of the quantity's name, such as fid or bench/step_time; shell patterns allowed.
        subject: part of the subject's name, such as torch or external.
    """
    from results.compare import matching, measurement, newest
    from results.reading import read
    from results.show import print_records

    found = matching(read(_folder(records)), what, subject)
    print_records(newest(found, measurement).values())
    return 0


@results.command(name="diff")
def diff(
    old: Positional[str],
    new: Positional[str],
    /,
    *,
    what: str = "*",
    subject: str = "*",
    records: Records = None,
) -> int:
    """Print the quantities that changed beyond their intervals between two commits or machines.

    Args:
        old: beginning of a commit hash, or part of the name of a processor or GPU.
        new: the same, to compare with it.
        what: part of the names of the quantities to compare; shell patterns allowed.
        subject: part of the subjects' names.
    """
    from results.compare import difference, matching
    from results.reading import read
    from results.show import print_difference

    found = matching(read(_folder(records)), what, subject)
    print_difference(difference(found, old, new), old, new)
    return 0


@results.command(name="check")
def check(*, records: Records = None) -> int:
    """Compare the newest ratios of the bench with earlier ones of the same machine and threads.

    Exit status 1 if a ratio is worse than each of the last ones beyond its interval, and, if it is
    a ratio of times, by more than two runs of the same code differ.
    """
    from results.compare import regressions
    from results.reading import read
    from results.show import print_regressions

    pairs, worse = regressions(read(_folder(records)))
    print_regressions(pairs, worse)
    return 1 if worse else 0


@results.command(name="add")
def add(file: Positional[Path], /, *, records: Records = None) -> int:
    """Validate somebody's FID and append it to the records; `meanflow tables` then shows it.

    Args:
        file: YAML or JSON, as `meanflow results template` prints it.
    """
    from results.external import add as added

    record, path = added(file, _folder(records))
    print(f"{record.subject}: FID {record.value:g} of {record.settings['preset']}")
    print(f"record appended to {path}")
    return 0


@results.command(name="template")
def template() -> int:
    """Print a YAML file to fill in for `meanflow results add`."""
    from results.external import template as filled_in

    print(filled_in(), end="")
    return 0


def _folder(records: Path | None) -> Path:
    from results.schema import RECORDS

    if records is not None and not records.is_dir():
        raise UserError(f"--records is {records}, expected a folder of records")
    return records or RECORDS
