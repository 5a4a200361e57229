"""Variants of the minimal ports, with the findings that a diagnosis of each must have.

A table is paragraphs, of which each is one variant:

    name
    > heading: pattern             a line `differs` under this heading, whose `code` has the pattern
    ~ heading: pattern             a line `claimed`
    ? heading: pattern             a line `differs` that may be there, as what follows from another
    > loss_x heading: pattern      the same of loss_x, where the file has several losses
    & name of another variant      its changes, and its lines where there are no lines here
    [torch]                        what follows is for this framework; [jax]; [both]
    - lines of the minimal port    that occur there once
    + lines instead of them
    $ lines at the end of the file

A variant whose changes all belong to one framework exists in that one only. Lines that begin with #
are comments.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from subprocesses import ROOT

from verify.ports.finding import Finding

FOLDER = Path(__file__).parent
TABLES = ("correct", "faults_method", "faults_draws", "faults_sampler", "combined", "families")
FRAMEWORKS = ("torch", "jax")
_EXPECTED = re.compile(r"([>~?]) (?:(loss_\w+) )?([\w =|]+): (.+)")


class Expected(NamedTuple):
    """One line of a diagnosis, the only one of its loss under its heading."""

    what: str  # one of HEADINGS, or several with | between them
    pattern: str  # in the line's `code` (under `error` in `detail` too), in any case of letters
    verdict: str = "differs"  # or claimed; of an error, whatever is not same
    loss: str = "loss"
    must: bool = True  # be there

    def is_told_by(self, finding: Finding) -> bool:
        """Whether a finding is this line."""
        here = finding.what in self.what.split("|") and (
            finding.loss == self.loss or self.what in ("sampler", "error")  # which are of no loss
        )
        error = self.what == "error"
        text = f"{finding.code} {finding.detail}" if error else finding.code
        told = re.search(self.pattern, text, re.IGNORECASE) is not None
        return here and told and (error or finding.verdict == self.verdict)


class Change(NamedTuple):
    """Text that stands instead of a text that occurs once; at the end, where that is empty."""

    old: str
    new: str


@dataclass(frozen=True)
class Variant:
    """A port that is the minimal one but for a few lines.

    Attributes:
        expected: the lines that are neither `same` nor `unknown`; none for a correct port.
    """

    name: str
    framework: str
    table: str  # one of TABLES
    changes: tuple[Change, ...]
    expected: tuple[Expected, ...]

    @property
    def source(self) -> str:
        """The port's file.

        Raises:
            ValueError: unless each text to replace occurs exactly once.
        """
        text = minimal(self.framework)
        for old, new in self.changes:
            if old and text.count(old) != 1:
                raise ValueError(
                    f"{self}: a text occurs {text.count(old)} times, expected once: {old!r}"
                )
            text = text.replace(old, new) if old else f"{text}\n\n{new}\n"
        return text

    def __str__(self) -> str:
        return f"{self.framework}: {self.name}"


def mistakes(variant: Variant, findings: Iterable[Finding]) -> list[str]:
    """What is wrong with the findings of a variant: lines that are missing, or that are too many.

    Lines that are `unknown` are neither, other than those of an error.
    """
    rest = [f for f in findings if f.verdict in ("differs", "claimed") or f.what == "error"]
    wrong = []
    for line in variant.expected:
        told = [finding for finding in rest if line.is_told_by(finding)]
        if told:
            rest.remove(told[0])
        elif line.must:
            wrong.append(f"missing: {line.loss} {line.what} {line.verdict}: {line.pattern}")
    return wrong + [f"too many: {f.loss} {f.what} {f.verdict}: {f.code}" for f in rest]


def minimal(framework: str) -> str:
    """The minimal port of a framework."""
    return (ROOT / "examples" / "ports" / f"minimal_{framework}.py").read_text(encoding="utf-8")


@cache
def variants(framework: str, *tables: str) -> tuple[Variant, ...]:
    """Variants of a framework: those of these tables, or all."""
    found: dict[str, Variant] = {}
    names: set[str] = set()  # of any framework
    for table in TABLES:
        for paragraph in _paragraphs(table):
            name, *lines = paragraph
            named = [line[2:] for line in lines if line[0] == "&"]
            if name in names or not names.issuperset(named):
                raise ValueError(f"{table}.txt: {name!r} is there twice, or one of {named} is not")
            names.add(name)
            others = [found.get(other) for other in named]
            own = _changes([line for line in lines if line[0] not in ">~?&"], framework)
            elsewhere = None in others or (own == () and any(line[0] == "[" for line in lines))
            if not elsewhere:
                expected = tuple(map(_expected, filter(lambda line: line[0] in ">~?", lines)))
                # Lines of its own speak for the whole.
                inherited = () if expected else sum((o.expected for o in others), ())
                changes = sum((o.changes for o in others), ()) + own
                found[name] = Variant(name, framework, table, changes, expected + inherited)
    return tuple(v for v in found.values() if not tables or v.table in tables)


def _paragraphs(table):
    text = (FOLDER / f"{table}.txt").read_text(encoding="utf-8")
    for paragraph in text.strip().split("\n\n"):
        lines = [line for line in paragraph.splitlines() if not line.startswith("#")]
        if lines:
            yield lines


def _changes(lines, framework):
    """Changes of one framework: lines - and the lines + after them; lines $."""
    found, last, here = [], "", True
    for line in lines:
        sign, text = line[0], line[2:]
        if sign == "[":
            here = line[1:-1] in (framework, "both")
        elif here:
            if sign not in (last, "+"):
                found.append(([], []))
            found[-1][sign != "-"].append(text)
        last = sign
    return tuple(Change(*("\n".join(part) for part in change)) for change in found)


def _expected(line):
    match = _EXPECTED.fullmatch(line)
    if match is None:
        raise ValueError(f"no expected line: {line!r}")
    sign, loss, what, pattern = match.groups()
    verdict = "claimed" if sign == "~" else "differs"
    return Expected(what, pattern, verdict, loss or "loss", sign != "?")
