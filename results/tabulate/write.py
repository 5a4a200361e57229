"""Tables from records: Markdown in results/tables, and the same between markers in the manual.

No number in a table is typed by hand. `meanflow tables` regenerates them; `--check` finds one that
is not what the records give.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from results.reading import read
from results.schema import RECORDS, Record
from results.tabulate.ablations import ablation_order, ablations
from results.tabulate.accelerators import accelerators
from results.tabulate.cells import Table, markdown, with_footnote
from results.tabulate.checks import verify
from results.tabulate.commands import commands
from results.tabulate.compiled import compiled, compiled_default
from results.tabulate.compiled_chips import compiled_chips
from results.tabulate.fid import fid
from results.tabulate.glance import glance
from results.tabulate.gpu import gpu
from results.tabulate.jvp_overhead import jvp_overhead
from results.tabulate.modular import modular
from results.tabulate.reproduction import reproduction
from results.tabulate.small_images import digits, mnist
from results.tabulate.soak import soak
from results.tabulate.throughput import throughput

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "results" / "tables"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
ALL: dict[str, Callable[[list[Record]], Table]] = {
    "digits": digits,
    "mnist": mnist,
    "jvp_overhead": jvp_overhead,
    "throughput": throughput,
    "reproduction": reproduction,
    "verify": verify,
    "ablation_order": ablation_order,
    "ablations": ablations,
    "fid": fid,
    "accelerators": accelerators,
    "gpu": gpu,
    "compiled": compiled,
    "compiled_chips": compiled_chips,
    "compiled_default": compiled_default,
    "soak": soak,
    "glance": glance,
    "commands": commands,
    "modular": modular,
}


def write_tables(
    records: Path = RECORDS,
    tables: Path = TABLES,
    pages: Sequence[Path] = PAGES,
    *,
    blocks: Mapping[str, Callable[[list[Record]], str]] = MappingProxyType({}),
    write: bool,
) -> list[Path]:
    """Regenerate every table from the records; returns the files that differed.

    Args:
        pages: pages of the manual, with tables between markers.
        blocks: name of another block of the manual -> function that makes it.
        write: write these files.
    """
    found = read(records)
    made = {name: markdown(with_footnote(make(found))) for name, make in ALL.items()}
    wanted = {tables / f"{name}.md": content.encode() for name, content in made.items()}
    shown = made | {name: make(found) for name, make in blocks.items()}
    wanted |= {page: _filled(page.read_text(encoding="utf-8"), shown).encode() for page in pages}
    return write_changed(wanted, bytes.__eq__, write=write)


def _filled(text: str, shown: Mapping[str, str]) -> str:
    """Page with every block between markers regenerated."""

    def fill(block: re.Match[str]) -> str:
        return f"{block[1]}\n\n{shown[block[2]]}\n{block[3]}"

    return re.sub(r"(<!-- table (\w+) -->).*?(<!-- end -->)", fill, text, flags=re.DOTALL)


def write_changed(
    wanted: Mapping[Path, bytes], same: Callable[[bytes, bytes], bool], *, write: bool
) -> list[Path]:
    """Files that are absent or whose content differs from the wanted content.

    Args:
        same: function that compares two contents.
        write: write these files.
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
