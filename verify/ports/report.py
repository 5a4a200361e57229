"""Report of a diagnosis: lines of 80 columns, and JSON for scripts."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Any

from rich.text import Text

from impls.common.environment import release
from impls.files.writing import writable, write_whole
from verify.ports.diagnosis import Diagnosis
from verify.ports.finding import Finding, Verdict

FORMAT = 1
WIDTH = 80
WHAT_WIDTH, MARK_WIDTH = 17, 9  # of the first two columns, a space included
MARKS: dict[Verdict, tuple[str, str]] = {  # mark and style
    "same": ("same", "green"),
    "claimed": ("claimed", "yellow"),
    "differs": ("DIFFERS", "bold red"),
    "unknown": ("unknown", "magenta"),
}
DETAILS: dict[Verdict, str] = {
    "same": "note", "claimed": "note", "differs": "effect", "unknown": "why",
}  # fmt: skip
CODES = {
    "imagenet": "the authors' ImageNet code",
    "cifar10_v0": "the authors' CIFAR-10 code with its first law of times",
    "cifar10_v1": "the authors' CIFAR-10 code with its second law of times",
}
ORDER = ("loss", "what", "verdict", "code", "official", "detail")  # keys of an outcome in JSON


def lines(diagnosis: Diagnosis) -> Iterator[Text]:
    """Lines of the report: a heading for each loss, its findings, and the summary."""
    yield from _wrapped(f"{_plain(diagnosis.port)} beside {CODES[diagnosis.preset]}")
    for loss, found in groupby(diagnosis.findings, key=lambda finding: finding.loss):
        yield Text("")
        yield Text(_plain(loss), style="bold")
        for finding in found:
            yield from _lines_of(finding)
    yield Text("")
    for sentence in summary(diagnosis):
        yield from _wrapped(sentence)


def summary(diagnosis: Diagnosis) -> Iterator[str]:
    """Sentences: the number of findings by verdict, what was not diagnosed, and what ended it."""
    count = diagnosis.count("differs")
    counts = [f"{count or 'no'} difference{'' if count == 1 else 's'}"]
    if not diagnosis.findings:
        counts = ["nothing was diagnosed"]
    for verdict in ("claimed", "same", "unknown"):
        if number := diagnosis.count(verdict):
            counts.append(f"{number} {verdict}")
    by = f" with {diagnosis.framework} {diagnosis.version}" if diagnosis.framework else ""
    yield f"{', '.join(counts)} in {diagnosis.seconds:.1f} s{by}"
    named = dict.fromkeys(f"{finding.what} of {finding.loss}" for finding in diagnosis.undiagnosed)
    if named:
        yield f"not diagnosed: {', '.join(named)}"
    if diagnosis.stopped_by:
        yield "interrupted: these are the findings so far"


def write_json(diagnosis: Diagnosis, path: Path) -> None:
    """Write the diagnosis as JSON; `complete` is false where a signal ended it.

    Raises:
        UserError: if the file cannot be written; its previous content is then kept.
    """
    content: dict[str, Any] = {
        "format": FORMAT,
        "port": diagnosis.port,
        "framework": diagnosis.framework,
        "version": diagnosis.version,
        "preset": diagnosis.preset,
        "seed": diagnosis.seed,
        "seconds": round(diagnosis.seconds, 3),
        "complete": not diagnosis.stopped_by,
        "release": release(),
        "outcomes": [
            {key: asdict(finding)[key] for key in ORDER} for finding in diagnosis.findings
        ],
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with writable(path):
        write_whole(path, text.encode())


def _lines_of(finding: Finding) -> Iterator[Text]:
    """Lines of a finding: what and code; the official code where it is another; the detail."""
    mark, style = MARKS[finding.verdict]
    yield from _row(f" {finding.what}", mark, finding.code, style)
    if finding.verdict != "same" and finding.official:
        yield from _row("", "official", finding.official, "dim")
    if finding.detail:
        yield from _row("", DETAILS[finding.verdict], finding.detail, "dim")


def _row(what: str, mark: str, text: str, style: str) -> Iterator[Text]:
    """A cell of text beside two labels, wrapped within its column."""
    indent = WHAT_WIDTH + MARK_WIDTH
    folded = wrap(_plain(text), WIDTH - indent, break_on_hyphens=False) or [""]
    first = Text(what.ljust(WHAT_WIDTH))
    first.append(mark.ljust(MARK_WIDTH), style=style)
    first.append(folded[0])
    first.rstrip()
    yield first
    for rest in folded[1:]:
        yield Text(" " * indent + rest)


def _wrapped(sentence: str) -> Iterator[Text]:
    yield from map(Text, wrap(sentence, WIDTH, break_on_hyphens=False))


def _plain(text: str) -> str:
    """Text on one line without control characters, which a port's messages may hold."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
