"""Worker processes that run checks and send each outcome as soon as it is known."""

import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.resource_tracker import ensure_running
from typing import Any, NamedTuple

from impls.common.errors import UserError
from verify.checks import all_checks
from verify.golden import Problems
from verify.outcome import Outcome, Subject
from verify.runner import run
from verify.subjects import describe, load_subjects

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

PATIENCE = 3.0  # seconds for a process to clean up before it is killed


class Given(NamedTuple):
    """Arguments of every process."""

    names: tuple[str, ...]  # of subjects
    skip_missing: bool  # leave out a subject whose framework is not installed
    problems: Problems


class Part(NamedTuple):
    """Part of a run that a process takes at a time: names of checks in order, and a dtype."""

    checks: tuple[str, ...]
    dtype: Any


class Loaded(NamedTuple):
    """Message that the subjects are imported, with a sentence for each that was left out."""

    subjects: tuple[Subject, ...]
    missing: tuple[str, ...]


class Done(NamedTuple):
    """Message that a part is done, with the seconds of each family and the peak memory so far."""

    seconds: dict[str, float]
    peak_bytes: int


News = Loaded | Outcome | Done
Hear = Callable[[News], None]


def judge(given: Given, parts: Iterable[Part], hear: Hear) -> None:
    """Run parts of the checks on the subjects in this process.

    Args:
        hear: called with Loaded, then for each part with every Outcome and with Done.

    Raises:
        UserError: when a subject cannot be used.
    """
    modules, missing = load_subjects(given.names, given.skip_missing)
    hear(Loaded(tuple(describe(name, module) for name, module in modules), missing))
    for part in parts:
        checks = [all_checks()[name] for name in part.checks]
        problems = given.problems
        report = run(modules, checks, problems.cases, problems.trainings, (part.dtype,), hear)
        hear(Done(report.seconds, peak_bytes()))


def judge_in_processes(given: Given, parts: Sequence[Part], count: int, hear: Hear) -> None:
    """Run parts of the checks in `count` processes, which end when this function does.

    Each process sends Loaded for itself, and takes the next part when it is done with one.

    Raises:
        UserError: if a subject cannot be used, or a process dies.
    """
    waiting = iter(parts)
    processes: list[BaseProcess] = []
    try:
        pipes = [_start(given, processes) for _ in range(min(count, len(parts)))]
        while pipes:
            ready: list[Any] = wait(pipes)
            for pipe in ready:
                said = _received(pipe)
                if isinstance(said, Loaded | Done):
                    part = next(waiting, None)
                    with suppress(ConnectionError):  # of one that died since: the next read says so
                        pipe.send(part)
                    if part is None:
                        pipes.remove(pipe)
                hear(said)
        for process in processes:
            process.join(PATIENCE)
    finally:
        _end(processes)


def _start(given: Given, processes: list[BaseProcess]) -> Any:
    """Start one more process; returns this end of the pipe to it."""
    # Not forked: a forked process would lack the threads of the frameworks.
    context = multiprocessing.get_context("spawn")
    pipe, other = context.Pipe()
    process = context.Process(target=_work, args=(given, other))
    # Ctrl-C reaches every process of a terminal: workers ignore it, and this process ends them.
    with _held():
        process.start()
        processes.append(process)
    other.close()
    return pipe


@contextmanager
def _held() -> Iterator[None]:
    """Context that delays SIGINT and SIGTERM; a process started within it never gets SIGINT."""
    came: list[int] = []
    handlers: dict[int, Any] = {
        number: signal.signal(number, lambda found, _frame: came.append(found))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    mask = getattr(signal, "pthread_sigmask", None)  # none on Windows
    try:
        if mask:
            ensure_running()  # multiprocessing's own process, whose start would undo the mask
            mask(signal.SIG_BLOCK, (signal.SIGINT,))  # and a new process inherits it
        yield
    finally:
        if mask:
            mask(signal.SIG_UNBLOCK, (signal.SIGINT,))
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


def _received(pipe: Any) -> News:
    try:
        said = pipe.recv()
    except (EOFError, ConnectionError):
        raise UserError(
            "a process that ran checks died (out of memory? a crash in a subject?), so there is no"
            " result; --processes 1 runs the checks one after another and shows where"
        ) from None
    if isinstance(said, UserError):
        raise said
    news: News = said
    return news


def _end(processes: Sequence[BaseProcess]) -> None:
    """Terminate running processes, and kill those that take too long to clean up."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + PATIENCE
    try:
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    finally:  # however often Ctrl-C is pressed
        for process in processes:
            process.kill()


def _work(given: Given, pipe: Any) -> None:
    """Main function of a worker: run parts until there are none, or the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows too, where it was not held
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # temporary files are removed
    with suppress(KeyboardInterrupt, EOFError, ConnectionError):
        try:
            judge(given, iter(pipe.recv, None), pipe.send)
        except UserError as error:
            pipe.send(error)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def peak_bytes() -> int:
    """Peak resident memory of this process in bytes; 0 where the system does not report it."""
    if resource is None:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
