"""What a run finds: outcomes of checks, and the report that holds them."""

from collections import Counter
from dataclasses import dataclass, field, replace

PASS, FAIL, NOT_APPLICABLE = "pass", "fail", "n/a"
PAIR = " ~ "  # between the two subjects of a cross check


@dataclass(frozen=True)
class Known:
    """Why a failure is no news: see `verify.deviations`."""

    reason: str
    link: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What one check found on one subject (or pair) at one dtype."""

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
    """What a subject offers, as far as a report needs it."""

    name: str
    offers: tuple[str, ...]  # names of the protocol
    notices: tuple[str, ...] = ()  # sentences about names that do not count, or are misspelt
    file: str = ""  # of its source; "" where it has none


@dataclass(frozen=True)
class Stale:
    """An entry of known deviations to which nothing corresponds."""

    check: str  # name or pattern
    dtype: str | None
    file: str
    subjects: tuple[str, ...]  # that the file is for
    why: str


@dataclass
class Report:
    """Every outcome of a run, with the seconds that each family took."""

    outcomes: list[Outcome] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # of each family, summed over processes
    subjects: tuple[Subject, ...] = ()
    notes: tuple[str, ...] = ()  # where the cases come from, in sentences
    settings: dict[str, int | float | str] = field(default_factory=dict)  # the same, for records
    wall_seconds: float | None = None  # of the whole run
    num_processes: int = 1
    peak_bytes: int = 0  # the largest resident memory of one process
    expected: dict[str, int] = field(default_factory=dict)  # outcomes of each family of the run
    stopped_by: int = 0  # the signal that ended the run before all were there
    stale: tuple[Stale, ...] = ()  # known deviations that are none

    @property
    def num_missing(self) -> int:
        """How many outcomes the whole run would have beside these."""
        return sum(self.expected.values()) - len(self.outcomes)

    @property
    def failed(self) -> list[Outcome]:
        """Outcomes that are failures, known deviations among them."""
        return [outcome for outcome in self.outcomes if outcome.status == FAIL]

    @property
    def unexpected(self) -> list[Outcome]:
        """Failures that are no known deviations."""
        return [outcome for outcome in self.failed if outcome.known is None]

    def judged(self, subject: str) -> tuple[str, ...]:
        """Functions of a subject that some check called and that returned."""
        mine = (o for o in self.outcomes if subject in o.subject.split(PAIR))
        names = {name for outcome in mine for name in outcome.judges}
        offers = next((s.offers for s in self.subjects if s.name == subject), tuple(names))
        return tuple(name for name in offers if name in names)

    @property
    def unjudged(self) -> list[Subject]:
        """Subjects of which nothing was judged: about them the run says nothing."""
        return [subject for subject in self.subjects if not self.judged(subject.name)]

    @property
    def exit_status(self) -> int:
        """What the process ends with: see `meanflow verify --help`."""
        if self.stopped_by:
            return 128 + self.stopped_by  # as a shell tells it
        if self.unexpected or self.stale:
            return 1
        return 2 if self.unjudged else 0


def tally(outcomes: list[Outcome]) -> str:
    """So many of so many pass, how many are known deviations, and how many not applicable."""
    counts = Counter(outcome.status for outcome in outcomes)
    known = sum(outcome.known is not None for outcome in outcomes)
    said = [f"{counts[PASS]} of {counts[PASS] + counts[FAIL]} pass"]
    said += [f"{known} known"] if known else []
    said += [f"{counts[NOT_APPLICABLE]} n/a"] if counts[NOT_APPLICABLE] else []
    return ", ".join(said)


def required(outcomes: list[Outcome], names: set[str]) -> list[Outcome]:
    """The outcomes, where a check of these names that judges a subject at no dtype is a failure."""
    judged = {(o.check, o.subject) for o in outcomes if o.status != NOT_APPLICABLE}
    return [
        replace(outcome, status=FAIL, detail=f"required, but not applicable: {outcome.detail}")
        if outcome.check in names and (outcome.check, outcome.subject) not in judged
        else outcome
        for outcome in outcomes
    ]
