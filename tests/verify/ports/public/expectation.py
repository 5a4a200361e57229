"""How a port's deviations, listed from its code, are compared with the findings of a diagnosis."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from verify.ports.finding import Finding


class Deviation(NamedTuple):
    """One way in which a port departs from the settings that it is held to.

    Several deviations may stand in one line of a report, and one cause may show under several
    headings; so a deviation is named where at least one finding has one of its headings and
    verdicts, and its words.
    """

    what: str  # heading, or several between |
    port: str  # what the port does: formula or number
    words: str  # regular expression for the finding's code or detail
    source: str  # FILE:LINE of the port
    verdict: str = "differs"  # or several between |
    optional: bool = False  # a consequence of another, or no difference by itself: may be absent

    def names(self, finding: Finding) -> bool:
        """Whether a finding speaks of this deviation."""
        return (
            finding.what in self.what.split("|")
            and finding.verdict in self.verdict.split("|")
            and re.search(self.words, f"{finding.code} {finding.detail}", re.IGNORECASE) is not None
        )


class Port(NamedTuple):
    """An adapter of this folder, the settings that it is held to, and its deviations."""

    adapter: str  # NAME.py
    checkout: str  # folder in MEANFLOW_PORTS
    deviations: dict[str, tuple[Deviation, ...]]  # by name of loss or sampler
    preset: str = "imagenet"
    needs: tuple[str, ...] = ()  # packages that the port's loss calls, beside its framework


def missed(findings: Sequence[Finding], expected: Sequence[Deviation]) -> list[Deviation]:
    """Deviations that no finding names."""
    return [
        deviation
        for deviation in expected
        if not deviation.optional and not any(map(deviation.names, findings))
    ]


def invented(findings: Sequence[Finding], expected: Sequence[Deviation]) -> list[Finding]:
    """Findings other than `same` that are on no list."""
    return [
        finding
        for finding in findings
        if finding.verdict != "same" and not any(d.names(finding) for d in expected)
    ]
