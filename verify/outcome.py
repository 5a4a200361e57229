"""Outcomes of checks, and the report of a run that holds them."""

from collections import Counter
from dataclasses import dataclass, field, replace

PASS, FAIL, NOT_APPLICABLE = "pass", "fail", "n/a"
PAIR = " ~ "  # between the two subjects of a cross check


@dataclass(frozen=True)
class Known:
    """Reason of a known failure: see `verify.deviations`."""

    reason: str
    link: str | None = None


@dataclass(frozen=True)
class Outcome:
    """Result of one check on one subject (or pair) in one dtype."""

    check: str
    family: str
    subject: str
    dtype: str
    status: str  # "pass", "fail" or "n/a"
    error: float | None  # worst error; None when n/a or when the check could not finish
    tolerance: float | None
    detail: str  # where the worst error lies, or the reason
    judges: tuple[str, ...] = ()  # functions of the protocol that were called and returned
    places: tuple[str, ...] = ()  # the worst places, the worst first, each with its error
    traceback: str = ""  # of the exception that ended the check
    known: Known | None = None  # of a failure that is a known deviation


@dataclass(frozen=True)
class Subject:
    """Description of a subject for the report."""

    name: str
    offers: tuple[str, ...]  # names of the protocol
    notices: tuple[str, ...] = ()  # sentences about names that do not count, or are misspelt
    file: str = ""  # of its source; "" where it has none


@dataclass(frozen=True)
class Stale:
    """Entry of known deviations that no failure corresponds to."""

    check: str  # name or pattern
    dtype: str | None
    file: str
    subjects: tuple[str, ...]  # that the file is for
    why: str


@dataclass
class Report:
    """Every outcome of a run, and its cost."""

    outcomes: list[Outcome] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # of each family, summed over processes
    subjects: tuple[Subject, ...] = ()
    notes: tuple[str, ...] = ()  # where the cases come from, in sentences
    settings: dict[str, int | float | str] = field(default_factory=dict)  # the same, for records
    wall_seconds: float | None = None  # of the whole run
    num_processes: int = 1
    peak_bytes: int = 0  # the largest resident memory of one process
    expected: dict[str, int] = field(default_factory=dict)  # outcomes of each family of the run
    stopped_by: int = 0  # number of the signal that ended the run early, or 0
    stale: tuple[Stale, ...] = ()  # known deviations without a failure

    @property
    def num_missing(self) -> int:
        """Number of outcomes that an interrupted run lacks."""
        return sum(self.expected.values()) - len(self.outcomes)

    @property
    def failed(self) -> list[Outcome]:
        """Failures, known deviations included."""
        return [outcome for outcome in self.outcomes if outcome.status == FAIL]

    @property
    def unexpected(self) -> list[Outcome]:
        """Failures that are not known deviations."""
        return [outcome for outcome in self.failed if outcome.known is None]

    def judged(self, subject: str) -> tuple[str, ...]:
        """Functions of a subject that some check called and that returned."""
        mine = (o for o in self.outcomes if subject in o.subject.split(PAIR))
        names = {name for outcome in mine for name in outcome.judges}
        offers = next((s.offers for s in self.subjects if s.name == subject), tuple(names))
        return tuple(name for name in offers if name in names)

    @property
    def unjudged(self) -> list[Subject]:
        """Subjects of which no function was checked: the run says nothing about them."""
        return [subject for subject in self.subjects if not self.judged(subject.name)]

    @property
    def exit_status(self) -> int:
        """Exit status of the process: see `meanflow verify --help`."""
        if self.stopped_by:
            return 128 + self.stopped_by  # as a shell reports it
        if self.unexpected or self.stale:
            return 1
        return 2 if self.unjudged else 0


def tally(outcomes: list[Outcome]) -> str:
    """Counts in words: how many pass, how many are known deviations, how many not applicable."""
    counts = Counter(outcome.status for outcome in outcomes)
    known = sum(outcome.known is not None for outcome in outcomes)
    said = [f"{counts[PASS]} of {counts[PASS] + counts[FAIL]} pass"]
    said += [f"{known} known"] if known else []
    said += [f"{counts[NOT_APPLICABLE]} n/a"] if counts[NOT_APPLICABLE] else []
    return ", ".join(said)


def required(outcomes: list[Outcome], names: set[str]) -> list[Outcome]:
    """The outcomes, with named checks that are not applicable to a subject in any dtype failed."""
    judged = {(o.check, o.subject) for o in outcomes if o.status != NOT_APPLICABLE}
    return [
        replace(outcome, status=FAIL, detail=f"required, but not applicable: {outcome.detail}")
        if outcome.check in names and (outcome.check, outcome.subject) not in judged
        else outcome
        for outcome in outcomes
    ]
