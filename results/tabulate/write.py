"""Tables from records: Markdown in results/tables, and the same between markers in the README.

Nobody types a number into a table. `meanflow tables` writes them anew; `--check` finds one that
does not follow from the records.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from results.reading import read
from results.schema import RECORDS, Record
from results.tabulate.ablations import ablation_order, ablations
from results.tabulate.accelerators import accelerators
from results.tabulate.cells import Table, markdown, with_footnote
from results.tabulate.checks import verify
from results.tabulate.digits import digits
from results.tabulate.fid import fid
from results.tabulate.jvp_overhead import jvp_overhead
from results.tabulate.reproduction import reproduction
from results.tabulate.soak import soak
from results.tabulate.throughput import throughput

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "results" / "tables"
ALL: dict[str, Callable[[list[Record]], Table]] = {
    "digits": digits,
    "jvp_overhead": jvp_overhead,
    "throughput": throughput,
    "reproduction": reproduction,
    "verify": verify,
    "ablation_order": ablation_order,
    "ablations": ablations,
    "fid": fid,
    "accelerators": accelerators,
    "soak": soak,
}


def write_tables(
    records: Path = RECORDS,
    tables: Path = TABLES,
    readme: Path = ROOT / "README.md",
    *,
    blocks: Mapping[str, Callable[[list[Record]], str]] = MappingProxyType({}),
    write: bool,
) -> list[Path]:
    """Make every table from the records; returns the files that differed.

    Args:
        blocks: name of another block of the README -> what makes it.
        write: whether these files are written.
    """
    found = read(records)
    made = {name: markdown(with_footnote(make(found))) for name, make in ALL.items()}
    wanted = {tables / f"{name}.md": content.encode() for name, content in made.items()}
    text = readme.read_text(encoding="utf-8")
    for name, content in {**made, **{name: make(found) for name, make in blocks.items()}}.items():
        block = re.compile(rf"(?<=<!-- table {name} -->).*?(?=<!-- end -->)", re.DOTALL)
        text = block.sub(f"\n\n{content}\n".replace("\\", r"\\"), text)
    wanted[readme] = text.encode()
    return write_changed(wanted, bytes.__eq__, write=write)


def write_changed(
    wanted: Mapping[Path, bytes], same: Callable[[bytes, bytes], bool], *, write: bool
) -> list[Path]:
    """The files that are absent or whose content differs from what is wanted.

    Args:
        same: whether two contents are the same.
        write: whether these files are written.
    """
    changed = [
        path
        for path, content in wanted.items()
        if not path.is_file() or not same(path.read_bytes(), content)
    ]
    for path in changed if write else ():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wanted[path])
    return changed
