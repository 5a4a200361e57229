"""Failures and known deviations: blocks of the printed report."""

from collections.abc import Iterator
from textwrap import wrap

from rich.text import Text

from verify.checks import all_checks
from verify.outcome import Outcome, Report
from verify.stages import causes
from verify.table import WIDTH

INDENT = 5 * " "


def blocks(report: Report, *, verbose: bool, tracebacks: bool) -> Iterator[Text]:
    """Blocks of text: known deviations, then failures; failures that follow from others are named.

    A failure that follows from a known deviation alone is not known: it has a block of its own.
    """
    new, every = causes(report.unexpected), causes(report.failed)
    followers: dict[str, list[Outcome]] = {}
    shown = []
    for outcome in report.unexpected:
        cause = new.get((outcome.check, outcome.subject, outcome.dtype))
        if cause:
            followers.setdefault(cause, []).append(outcome)
        else:
            shown.append(outcome)
    known = [outcome for outcome in report.failed if outcome.known]
    for alike in _gathered(known):
        yield _known(alike, verbose)
        yield from _tracebacks(alike, tracebacks)
    for alike in _gathered(shown):
        first = alike[0]
        cause = every.get((first.check, first.subject, first.dtype), "")
        yield _failure(alike, cause, verbose)
        yield from _tracebacks(alike, tracebacks)
    for cause, outcomes in followers.items():
        yield Text(f"\nFAIL {len(outcomes)} more, which follow from {cause}:", style="red")
        for alike in _gathered(outcomes):
            yield Text(f"{INDENT}{_title(alike)}", style="dim")


def _gathered(outcomes: list[Outcome]) -> list[list[Outcome]]:
    """Outcomes grouped by check, subject and known deviation: members differ in dtype alone."""
    found: dict[object, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault((outcome.check, outcome.subject, outcome.known), []).append(outcome)
    return list(found.values())


def _title(alike: list[Outcome]) -> str:
    dtypes = " and ".join(outcome.dtype for outcome in alike)
    return f"{alike[0].check} ({alike[0].subject}, {dtypes})"


def _known(alike: list[Outcome], verbose: bool) -> Text:
    known = alike[0].known
    assert known
    more = _found(alike, verbose) if verbose else []
    lines = [*_sentence(alike), f"known: {known.reason}", known.link or "", *more]
    return _block(f"KNOWN {_title(alike)}", lines, style="yellow")


def _failure(alike: list[Outcome], cause: str, verbose: bool) -> Text:
    """Block of failures.

    Args:
        cause: a known deviation that they may follow from, if there is one.
    """
    follows = f"It may follow from {cause}, a known deviation." if cause else ""
    lines = [*_sentence(alike), *_found(alike, verbose), follows]
    return _block(f"FAIL {_title(alike)}", lines, style="red")


def _sentence(alike: list[Outcome]) -> list[str]:
    check = all_checks().get(alike[0].check)
    return [check.sentence] if check else []


def _found(alike: list[Outcome], verbose: bool) -> list[str]:
    """Lines: the error in each dtype and its place, which is printed once if it is the same."""
    lines, same = [], len({outcome.detail for outcome in alike}) == 1
    for outcome in alike:
        said = [outcome.dtype] * (len(alike) > 1)
        said += [_error(outcome)] + [outcome.detail] * (not same)
        text = ": ".join(filter(None, said))
        lines += [text] * (text != outcome.dtype)
        lines += outcome.places[1:] if verbose else ()
    return lines + [alike[0].detail] * same


def _error(outcome: Outcome) -> str:
    error = "" if outcome.error is None else f"error {outcome.error:.2e}"
    allowed = "" if outcome.tolerance is None else f"allowed {outcome.tolerance:.2e}"
    return ", ".join(filter(None, (error, allowed)))


def _block(head: str, lines: list[str], style: str) -> Text:
    folded = [part for line in filter(None, lines) for part in _folded(line, INDENT, INDENT + "  ")]
    return Text("\n" + "\n".join((head, *folded)), style=style)


def _tracebacks(alike: list[Outcome], wanted: bool) -> Iterator[Text]:
    for text in dict.fromkeys(outcome.traceback for outcome in alike if wanted):
        if text:
            yield Text(text)


def stale_lines(report: Report) -> list[str]:
    """Lines, a sentence for each known deviation that no failure corresponds to."""
    lines = []
    for entry in report.stale:
        named = " ".join(filter(None, (entry.check, entry.dtype)))
        said = f"stale: {entry.file} has an entry for {named}, but {entry.why}"
        lines += _folded(said, "", "    ")
    return lines


def _folded(line: str, indent: str, further: str) -> list[str]:
    """Text wrapped at 80 columns; names are not broken."""
    return wrap(
        line, WIDTH, initial_indent=indent, subsequent_indent=further,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
