"""The report: results/report/index.html, one file without the network, made from the records.

Every table and figure, every check with what it says and what it measured, and every record, to
which the numbers of the checks lead.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

from results.cells import NAMES, with_footnote
from results.checks import DTYPES, PAIR, newest_run
from results.compare import machine_name, passes
from results.reading import read
from results.schema import RECORDS, Record
from results.tables import ALL
from verify.registry import all_checks

FOLDER = Path(__file__).parent / "report"
INDEX = FOLDER / "index.html"
FIGURES = Path(__file__).parent / "figures"
# Table -> its heading, and the figure that belongs to it.
SECTIONS = {
    "reproduction": ("Published FIDs, and ours", "reproduction"),
    "verify": ("What agrees, by family", "errors"),
    "jvp_overhead": ("What the JVP costs", "jvp_overhead"),
    "throughput": ("Throughput", ""),
    "digits": ("Digits in one step", "digits"),
}
ORIGIN = (
    "Made by <code>nox -s tables</code> from the records and from reference/published.yml; no"
    " number here was typed."
)
LINK = re.compile(r"\[([^\]]+)\]\((https?://[^)]+)\)")


def write_page(records: Path = RECORDS, index: Path = INDEX, *, write: bool) -> list[Path]:
    """Make the report from the records; returns the file if it differed.

    Args:
        write: whether it is written.
    """
    content = page(read(records))
    if index.is_file() and index.read_text(encoding="utf-8") == content:
        return []
    if write:
        index.parent.mkdir(parents=True, exist_ok=True)
        index.write_text(content, encoding="utf-8")
    return [index]


def page(records: list[Record]) -> str:
    """The whole page."""
    style, script = ((FOLDER / name).read_text(encoding="utf-8") for name in
                     ("page.css", "page.js"))  # fmt: skip
    sections = [*_tables(records), _checks(records), _records(records)]
    places = {**{name: title for name, (title, _) in SECTIONS.items()}, "checks": "Every check",
              "records": "Every record"}  # fmt: skip
    links = " ".join(f'<a href="#{name}">{escape(title)}</a>' for name, title in places.items())
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>MeanFlow Repro: results</title>\n<style>\n{style}</style>\n</head>\n<body>",
            "<h1>MeanFlow Repro: results</h1>",
            f'<p class="note">{ORIGIN}</p>',
            f"<nav>{links}</nav>",
            *sections,
            f"<script>\n{script}</script>\n</body>\n</html>\n",
        )
    )


def _tables(records: list[Record]) -> Iterator[str]:
    for name, (title, figure) in SECTIONS.items():
        picture = _picture(figure, title) if figure else ""
        yield _section(name, title, picture + _from_markdown(with_footnote(ALL[name](records))))


def _checks(records: list[Record]) -> str:
    """Each check with its sentence, and its error in each dtype for each subject."""
    pairs = sorted({record.subject for record in records if PAIR in record.subject})
    runs = {subject: newest_run(records, subject) for subject in (*NAMES, *pairs)}
    found = {
        (record.what.rpartition("/")[2], record.dtype, subject): record
        for subject, run in runs.items()
        for record in run
    }
    columns = [(dtype, subject) for dtype in DTYPES for subject in NAMES]
    heads = ["family", "check", "says", *(f"{dtype}, {NAMES[name]}" for dtype, name in columns)]
    rows = []
    for check in all_checks().values():
        cells = [escape(check.family), f"<code>{escape(check.name)}</code>"]
        sentence = escape(check.sentence)
        cells.append(f'<span class="sentence">{sentence}</span>')
        for dtype, subject in columns:
            both = (found.get((check.name, dtype, name)) for name in (subject, *pairs))
            cells.append(_number(next((record for record in both if record), None)))
        rows.append(cells)
    return _section("checks", "Every check", _table(heads, rows), filtered=True)


def _records(records: list[Record]) -> str:
    """Every record of the tables and the checks, one row each."""
    heads = ["record", "what", "of", "value", "95 %", "unit", "settings", "measured"]
    rows = []
    for record in sorted(records, key=lambda r: (r.what, r.subject, r.dtype, r.date, r.digest)):
        bounds = record.interval
        settings = {"dtype": record.dtype, **record.settings, **record.protocol}
        rows.append(
            [
                f'<code id="{record.digest}">{record.digest[:8]}</code>',
                escape(record.what),
                escape(NAMES.get(record.subject, record.subject)),
                "" if record.value is None else f'<span class="number">{record.value:.6g}</span>',
                f"{bounds[0]:.4g} to {bounds[1]:.4g}" if bounds else "",
                escape(record.unit),
                escape(", ".join(f"{k} {v}" for k, v in settings.items() if v != "")),
                escape(
                    f"{record.date[:10]}, commit {record.commit[:7]}"
                    f"{' †' if record.dirty else ''}, {machine_name(record)}"
                ),
            ]
        )
    return _section("records", "Every record", _table(heads, rows), filtered=True)


def _number(record: Record | None) -> str:
    """An error with what is allowed, leading to its record."""
    if record is None:
        return '<span class="note">n/a</span>'
    shown = "fails" if record.value is None else f"{record.value:.0e}" if record.value else "0"
    allowed = f"; allowed {record.tolerance:.0e}" if record.tolerance else ""
    kind = "number" if passes(record) else "number worse"
    title = escape(f"{record.detail}{allowed}".strip("; "))
    return f'<a class="{kind}" href="#{record.digest}" title="{title}">{shown}</a>'


def _section(name: str, title: str, content: str, *, filtered: bool = False) -> str:
    tools = (
        f'<input class="filter" type="search" placeholder="filter: words of a row"'
        f' aria-label="filter {escape(title)}"> <span class="note shown"></span>'
        if filtered
        else ""
    )
    mark = " data-filtered" if filtered else ""
    return f'<section id="{name}"{mark}>\n<h2>{escape(title)}</h2>\n{tools}{content}\n</section>'


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table that sorts; the cells are HTML."""
    head = "".join(f'<th><button type="button">{escape(cell)}</button></th>' for cell in heads)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" for cells in rows
    )
    return (
        f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n'
        "</table></div>"
    )


def _from_markdown(text: str) -> str:
    """A table of results/tables with the paragraphs below it."""
    lines = text.splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    heads, cells = [cell.strip() for cell in rows[0]], rows[2:]
    table = _table(heads, ([_inline(cell.strip()) for cell in row] for row in cells))
    notes = (f'<p class="note">{_inline(line)}</p>' for line in lines if line and line[0] != "|")
    return table + "\n".join(notes)


def _inline(text: str) -> str:
    """Code, links and line breaks of Markdown."""
    text = escape(text, quote=False).replace("&lt;br&gt;", "<br>")
    text = LINK.sub(r'<a href="\2">\1</a>', text)
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text)


def _picture(figure: str, title: str) -> str:
    content = base64.b64encode((FIGURES / f"{figure}.svg").read_bytes()).decode()
    source = f"data:image/svg+xml;base64,{content}"
    return f'<p><img src="{source}" alt="{escape(title)}" width="800"></p>\n'
