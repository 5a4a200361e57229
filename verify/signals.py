"""Signals that end a run early."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol


class Stoppable(Protocol):
    """Report of a run that a signal may end."""

    stopped_by: int  # number of the signal, or 0


@contextmanager
def stopped_by_signals(report: Stoppable) -> Iterator[None]:
    """Context that SIGINT or SIGTERM ends; the report then names the signal."""

    def stop(number: int, _frame: FrameType | None) -> None:
        report.stopped_by = number
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        report.stopped_by = report.stopped_by or signal.SIGINT
    finally:
        signal.signal(signal.SIGTERM, before)
