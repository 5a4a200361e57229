"""Progress of a run, on stderr; the report goes to stdout."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

from verify.outcome import Report, tally

SILENCE = 30.0  # seconds after which progress is printed even within a family


class News:
    """Progress: a single line that is updated on a terminal; elsewhere a line per family.

    Where there is no terminal, as in a file or in CI, a line is written as each family ends:

        210 of 478 checks, 34 s: network 52 of 52 pass
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        # ASCII only, which every terminal has.
        self._line = Status("", console=self._console, spinner="line")
        self._begin = self._told = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_interactive:
            self._line.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._line.stop()

    def say(self, text: str) -> None:
        """Print the current activity."""
        self._told = time.monotonic()
        if self._console.is_interactive:
            self._line.update(text)
        else:
            self._console.print(text, markup=False)

    def note(self, text: str) -> None:
        """Show the current activity on a terminal; elsewhere print nothing."""
        if self._console.is_interactive:
            self.say(text)

    def judged(self, report: Report) -> None:
        """Print progress after the last outcome of the report, if it is time to."""
        last, total = report.outcomes[-1], sum(report.expected.values())
        family = [outcome for outcome in report.outcomes if outcome.family == last.family]
        now = time.monotonic()
        far = f"{len(report.outcomes)} of {total} checks, {now - self._begin:.0f} s: {last.family}"
        if self._console.is_interactive:
            self.say(f"{far}, {last.check}")
        elif len(family) == report.expected[last.family]:
            self.say(f"{far} {tally(family)}")
        elif now - self._told > SILENCE:
            self.say(far)
