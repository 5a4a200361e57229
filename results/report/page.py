"""The report: results/report/index.html, one file without the network, made from the records.

Every table and figure, every check with what it says and what it measured, and every record, to
which the numbers of tables and checks lead; those that were published lead to their source. What
was measured here comes first, then what others measured; the rest is folded away in one sentence.
"""

import base64
import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from results.compare import origin, passes
from results.draw.palette import themed
from results.reading import read
from results.report.markup import breakable, grid, html, link
from results.report.sections import CAPTIONS, NOT_MEASURED, SECTIONS, rank
from results.schema import RECORDS, Record
from results.tabulate.ablations import CURVES
from results.tabulate.cells import DIRTY, NAMES, with_footnote
from results.tabulate.checks import DTYPES, newest_runs
from results.tabulate.write import ALL

FOLDER = Path(__file__).parent
INDEX = FOLDER / "index.html"
FIGURES = FOLDER.parent / "figures"
HEADED = re.compile(r'<section id="(\w+)".*>\n<h2>(.*)</h2>')
ORIGIN = (
    "Made by <code>nox -s tables</code> from the records and from reference/published.yml; no"
    " number here was typed."
)
FOLDED = "No record yet for: {}. Open for what is published and how to measure."
FILTER = (
    '<input class="filter" type="search" placeholder="filter: words of a row"'
    ' aria-label="filter {}"> <span class="note shown" role="status"></span>'
)
Sentences = Sequence[tuple[str, str, str]]  # of every check: family, name, what it says


def write_page(checks: Sentences, records: Path = RECORDS, index: Path = INDEX) -> None:
    """Make the report from the records.

    Args:
        checks: family, name and sentence of every check, in the order of the page.
    """
    index.parent.mkdir(parents=True, exist_ok=True)
    index.write_text(page(read(records), checks), encoding="utf-8", newline="\n")


def page(records: list[Record], checks: Sentences) -> str:
    """The whole page."""
    style, script = ((FOLDER / f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    parts = [*_tables(records), _checks(records, checks), _records(records)]
    sections = "\n".join(parts)
    links = "\n".join(f'<a href="#{name}">{title}</a>' for name, title in HEADED.findall(sections))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>MeanFlow Repro: results</title>
<style>
{style}</style>
</head>
<body>
<h1>MeanFlow Repro: results</h1>
<p class="note">{ORIGIN}</p>
<nav aria-label="sections">
{links}
</nav>
<main>
{sections}
</main>
<script>
{script}</script>
</body>
</html>
"""


def _tables(records: list[Record]) -> Iterator[str]:
    """A section for each table, what was measured first; one for all that were not measured."""
    tables = {name: with_footnote(ALL[name](records)) for name in SECTIONS}
    by_rank = sorted(SECTIONS, key=lambda name: rank(tables[name]))  # which keeps equals in order
    titles, folded = [], []
    for name in by_rank:
        title, figures = SECTIONS[name]
        content = "".join(map(_picture, figures)) + html(tables[name])
        if rank(tables[name]) < NOT_MEASURED:
            yield _section(name, title, content)
        else:
            titles.append(title)
            folded.append(f'<h3 id="{name}">{escape(title)}</h3>\n{content}')
    if folded:
        summary = f"<summary>{escape(FOLDED.format(', '.join(titles)))}</summary>"
        inner = "\n".join([summary, *folded])
        yield _section("unmeasured", "Not measured yet", f"<details>\n{inner}\n</details>")


def _checks(records: list[Record], checks: Sentences) -> str:
    """Each check with its sentence, and its error in each dtype for each subject."""
    runs = newest_runs(records)
    pairs = [subject for subject in runs if subject not in NAMES]
    found = {
        (record.what.rpartition("/")[2], record.dtype, subject): record
        for subject, run in runs.items()
        for record in run
    }
    columns = [(dtype, subject) for dtype in DTYPES for subject in NAMES]
    heads = ["family", "check", "says", *(f"{dtype}, {NAMES[name]}" for dtype, name in columns)]
    rows = []
    for family, name, sentence in checks:
        cells = [escape(family), f"<code>{breakable(escape(name))}</code>", escape(sentence)]
        for dtype, subject in columns:
            both = (found.get((name, dtype, judged)) for judged in (subject, *pairs))
            cells.append(_number(next(filter(None, both), None)))
        rows.append(cells)
    return _section("checks", "Every check", grid(heads, rows, num_labels=3), filtered=True)


def _records(records: list[Record]) -> str:
    """Every record, one row each, but for the many points of training curves."""
    heads = ["record", "what", "of", "value", "95 % interval", "unit", "settings", "measured"]
    shown = [record for record in records if record.what not in CURVES]
    shown.sort(key=lambda r: (r.what, r.subject, r.dtype, r.date, r.digest))
    return _section("records", "Every record", grid(heads, map(_row, shown)), filtered=True)


def _row(record: Record) -> list[str]:
    settings = {"dtype": record.dtype, **record.settings, **record.protocol}
    return [
        f'<code id="{record.digest}">{record.digest[:8]}</code>',
        breakable(escape(record.what)),
        escape(NAMES.get(record.subject, record.subject)),
        "" if record.value is None else f'<span class="number">{record.value:.6g}</span>',
        " to ".join(f"{bound:.4g}" for bound in record.interval or ()),
        escape(record.unit),
        escape(", ".join(f"{k} {v}" for k, v in settings.items() if v != "")),
        escape(f"{origin(record)} {DIRTY}" if record.dirty else origin(record)),
    ]


def _number(record: Record | None) -> str:
    """An error with what is allowed, leading to its record."""
    if record is None:
        return '<span class="note">n/a</span>'
    shown = "fails" if record.value is None else f"{record.value:.1g}" if record.value else "0"
    allowed = f"allowed {record.tolerance:.1g}" if record.tolerance else ""
    kind = "number" if passes(record) else "number worse"
    more = "; ".join(filter(None, (record.detail, allowed)))
    return link(shown, record, kind=kind, more=more)


def _section(name: str, title: str, content: str, *, filtered: bool = False) -> str:
    mark = " data-filtered" if filtered else ""
    tools = FILTER.format(escape(title)) if filtered else ""
    return f'<section id="{name}"{mark}>\n<h2>{escape(title)}</h2>\n{tools}{content}\n</section>'


def _picture(figure: str) -> str:
    """A figure within the page, and what is seen in it."""
    path = FIGURES / f"{figure}.svg"
    drawn = path.read_text("utf-8") if path.is_file() else ""  # absent: `tables --check` names it
    content = base64.b64encode(themed(drawn).encode()).decode()
    source = f"data:image/svg+xml;base64,{content}"
    image = f'<img src="{source}" alt="{figure.replace("_", " ")}, drawn" width="800">'
    return f"<figure>\n{image}\n<figcaption>{escape(CAPTIONS[figure])}</figcaption>\n</figure>\n"
