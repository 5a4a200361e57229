"""A whole diagnosis: the findings on one file, their exit status, and how they are gathered."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from impls.common.errors import UserError
from verify.ports.diagnose import diagnose
from verify.ports.finding import Finding, Verdict
from verify.ports.observation import Draws, Weighted
from verify.ports.process import CALL_SECONDS, Port, PortError
from verify.ports.settings import OFFICIAL
from verify.signals import stopped_by_signals

# A loss of which one of these is unknown has not been diagnosed.
ESSENTIAL = ("error", "path", "derivative", "target", "weight")


@dataclass
class Diagnosis:
    """Findings on a port so far.

    Attributes:
        port: path of its file.
        preset: name of the official settings that it is held to.
        framework, version: its framework, as the port's process imported it.
        stopped_by: number of the signal that ended the run; 0 where none did.
    """

    port: str
    preset: str
    seed: int = 0
    framework: str = ""
    version: str = ""
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    stopped_by: int = 0

    def count(self, verdict: Verdict) -> int:
        """Number of findings with this verdict."""
        return sum(finding.verdict == verdict for finding in self.findings)

    @property
    def undiagnosed(self) -> list[Finding]:
        """Findings for whose sake a loss counts as not diagnosed."""
        return [
            finding
            for finding in self.findings
            if finding.verdict == "unknown"
            and finding.what in ESSENTIAL
            and finding.loss != "sample"
        ]

    def exit_status(self, *, strict: bool = False) -> int:
        """Exit status of the command.

        0: nothing differs beyond the claims; 1: something does, with `strict` a claimed difference
        too; 2: nothing differs in what was diagnosed, but an essential part was not; 128 and the
        number of the signal, where one ended the run.
        """
        if self.stopped_by:
            return 128 + self.stopped_by
        if self.count("differs") or (strict and self.count("claimed")):
            return 1
        return 2 if self.undiagnosed or not self.findings else 0


class Observed(NamedTuple):
    """What was observed of a loss, beside its findings."""

    loss: str
    draws: Draws | None
    weighted: list[Weighted]


def run(
    file: Path,
    preset: str,
    seed: int = 0,
    *,
    python: str = "",
    network: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    call_seconds: float = CALL_SECONDS,
) -> tuple[Diagnosis, list[Observed]]:
    """Diagnose a port; SIGINT or SIGTERM ends it with the findings so far.

    Args:
        file: the file that describes the port.
        preset: a name of OFFICIAL.
        python: interpreter that runs the port; this one where it is empty.
        network: also examine the network that the file's function build returns.
        progress: called with a line after each finding.
        call_seconds: time that one call of the port may take.

    Raises:
        UserError: when the file is no port, cannot be imported, or claims what is no setting.
    """
    with Port(file, python, call_seconds) as port:
        return of(port, preset, seed, network=network, progress=progress)


def of(
    port: Port,
    preset: str,
    seed: int = 0,
    *,
    network: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Diagnosis, list[Observed]]:
    """The same of a port that is given."""
    found = Diagnosis(str(port.file), preset, seed)
    observed: list[Observed] = []
    begin = time.monotonic()
    progress(f"importing {port.file.name}")
    with stopped_by_signals(found):
        try:
            _gather(port, found, observed, network, progress)
        except (PortError, UserError) as error:
            if not found.findings and isinstance(error, PortError):
                raise UserError(f"{port.file.name} cannot be imported: {error}") from error
            if not found.findings:
                raise
            why = "what would have followed was not diagnosed"
            found.findings.append(_ended(found, str(error), why))
        except Exception as error:  # noqa: BLE001  whatever a port led to, findings are told
            why = "a mistake of meanflow diagnose: please report it with the port's file"
            found.findings.append(_ended(found, _told(error), why))
    if port.loaded:
        found.framework, found.version = port.loaded.framework, port.loaded.version
    found.seconds = time.monotonic() - begin
    return found, observed


def _ended(found: Diagnosis, error: str, why: str) -> Finding:
    """The finding that ends a diagnosis early."""
    loss = found.findings[-1].loss if found.findings else "loss"
    return Finding("error", "unknown", error, "", why, loss)


def _told(error: Exception) -> str:
    """Type, message and place of an exception."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"


def _gather(
    port: Port,
    found: Diagnosis,
    observed: list[Observed],
    network: bool,
    progress: Callable[[str], None],
) -> None:
    """Add the findings to a diagnosis as they are made."""

    def observe(loss: str, draws: Draws | None, weighted: list[Weighted]) -> None:
        observed.append(Observed(loss, draws, weighted))

    for finding in diagnose(port, OFFICIAL[found.preset], found.seed, observed=observe):
        found.findings.append(finding)
        progress(f"{len(found.findings)} findings, {finding.loss}: {finding.what}")
    if network:
        from verify.ports.network import findings  # noqa: PLC0415  it is asked for rarely

        found.findings += findings(port)
