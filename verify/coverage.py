"""Coverage: functions of a subject that were checked, and those that would make checks apply."""

import itertools
from collections import Counter
from textwrap import wrap

from verify.checks import all_checks
from verify.outcome import NOT_APPLICABLE, PAIR, Outcome, Report, Subject
from verify.registry import FAMILIES
from verify.subjects import PROTOCOL, TRANSFER
from verify.table import WIDTH

Needs = list[tuple[str, ...]]  # one function of each
MOST = 4  # functions of a suggestion


def not_applicable(report: Report, *, verbose: bool) -> list[str]:
    """Lines with the reasons why checks were not applicable.

    Args:
        verbose: list each reason; otherwise checks that need functions the subject lacks are only
            counted, with the functions that would make most of them applicable.
    """
    absent = [outcome for outcome in report.outcomes if outcome.status == NOT_APPLICABLE]
    lacking: dict[str, list[Outcome]] = {}
    if not verbose:
        for outcome in absent:
            if _lacks(outcome.check, _offers(report, outcome.subject)):
                lacking.setdefault(outcome.subject, []).append(outcome)
    counted = {id(outcome) for outcomes in lacking.values() for outcome in outcomes}
    reasons = Counter(outcome.detail for outcome in absent if id(outcome) not in counted)
    lines = [f"n/a {count} x: {reason}" for reason, count in reasons.items()]
    for subject, outcomes in lacking.items():
        said = f"n/a {len(outcomes)} x: {subject} lacks the functions (--verbose names them). Next:"
        lines += wrap(said, WIDTH, subsequent_indent="  ")
        lines += _suggestions({o.check for o in outcomes}, _offers(report, subject))
    return lines


def _suggestions(checks: set[str], offers: frozenset[str]) -> list[str]:
    """Lines: the one function, and the few functions, that make most checks applicable for each."""
    lacks = {check: _lacks(check, offers) for check in sorted(checks)}
    sets = {frozenset(one) for needs in lacks.values() for one in itertools.product(*needs)}
    added = {
        names: [
            check
            for check, needs in lacks.items()
            if all(names.intersection(need) for need in needs)
        ]
        for names in sets
        if len(names) <= MOST
    }

    def worth(names: frozenset[str]) -> tuple[float, int, list[str]]:
        return -len(added[names]) / len(names), len(names), sorted(names)

    best = sorted(added, key=worth)[:1]
    single = sorted((names for names in added if len(names) == 1), key=worth)[:1]
    lines = []
    for names in dict.fromkeys((*single, *best)):
        ordered = ", ".join(name for name in PROTOCOL if name in names)
        theirs = {all_checks()[check].family for check in added[names]}
        families = ", ".join(family for family in FAMILIES if family in theirs)
        count = len(added[names])
        text = f"{ordered}: {count} more check{'s' * (count > 1)} ({families})"
        lines += wrap(text, WIDTH, initial_indent="    ", subsequent_indent="      ")
    return lines


def _offers(report: Report, name: str) -> frozenset[str]:
    """Functions that a subject, or both of a pair, offer; all of them where that is not known."""
    offers = {subject.name: frozenset(subject.offers) for subject in report.subjects}
    return frozenset.intersection(
        *(offers.get(part, frozenset(PROTOCOL)) for part in name.split(PAIR))
    )


def _lacks(check: str, offers: frozenset[str]) -> Needs:
    """Needs of a check that these functions do not meet: one function of each is missing."""
    found = all_checks().get(check)
    needs = (tuple(need.split("|")) for need in found.needs) if found else ()
    return [need for need in needs if not offers.intersection(need)]


def judged(report: Report, subject: Subject, *, verbose: bool) -> list[str]:
    """Lines of 80 columns: the functions of a subject that were checked and that were not.

    Args:
        verbose: name functions that the subject does not offer too.
    """
    names = report.judged(subject.name)
    if not names and report.stopped_by:
        return [f"nothing of {subject.name} was checked before the run was interrupted"]
    if not names:
        return wrap(f"nothing of {subject.name} was checked: {_missing(report, subject)}", WIDTH)
    waiting = {
        lack for o in report.outcomes for lack in _lacks(o.check, frozenset((*names, *TRANSFER)))
    }
    rest = [name for name in PROTOCOL if any(name in lack for lack in waiting)]
    if not rest:
        return [f"checked in {subject.name}: every function that these checks need"]
    said = f"checked in {subject.name}: {', '.join(names)}"
    unjudged = rest if verbose else [name for name in rest if name in subject.offers]
    if unjudged:
        said += f"; {'not' if verbose else 'offered, but not checked'}: {', '.join(unjudged)}"
    return wrap(said, WIDTH, subsequent_indent="    ")


def _missing(report: Report, subject: Subject) -> str:
    """Functions that a subject would have to offer for some check to be applicable."""
    offers = frozenset(subject.offers)
    short = {tuple(need[0] for need in _lacks(o.check, offers)) for o in report.outcomes}
    sets = sorted((names for names in short if names), key=lambda names: (len(names), names))
    if not sets:
        reasons = (o.detail for o in report.outcomes if subject.name in o.subject.split(PAIR))
        return next(filter(None, reasons), "no function of it was called")
    few = [" and ".join(names) for names in sets if len(names) == len(sets[0])]
    offered = ", ".join(name for name in subject.offers if name not in TRANSFER) or "nothing else"
    return f"it offers {offered}, and would have to offer {', or '.join(few[:8])}"
