"""The findings on a port, in order."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from verify.ports import (
    derivative,
    families,
    guidance,
    laws,
    path,
    reading,
    sampler,
    target,
    weight,
)
from verify.ports.collect import Loss, open_loss, samplings, weighted
from verify.ports.finding import Finding
from verify.ports.formula import formula
from verify.ports.observation import Draws, Weighted
from verify.ports.process import Port, PortError
from verify.ports.runs import Run
from verify.ports.settings import Settings, claimed

NUM_DRAWS = 8192  # rows; four times as many where something is to be confirmed
FURTHER_SIZES = ((10, 4), (6, 4))  # rows and pixels a side, beside those of collect.py

# (name of a loss, its first draws, its weights): what was observed, once its findings are made
Observe = Callable[[str, Draws | None, list[Weighted]], None]


def diagnose(
    port: Port, official: Settings, seed: int = 0, observed: Observe | None = None
) -> Iterator[Finding]:
    """Findings on every loss of a port, and on its sampler.

    Args:
        observed: called with what was observed of each loss.

    Raises:
        UserError: when the file is no port, or claims what is no setting.
        PortError: when the port cannot be imported.
    """
    loaded = port.load()
    dtype, foreign = "float64", False
    failed: list[str] = []
    held = {
        name: claimed(
            official,
            loaded.claims.get(name.replace("loss", "claims", 1), loaded.claims.get("claims", {})),
        )
        for name in loaded.losses
    }
    labelled = not held
    for name, expected in held.items():
        try:
            loss, found = open_loss(port, name, seed)
            dtype = loss.dtype
        except PortError as error:
            why = "nothing else of this loss could be diagnosed"
            failed.append(error.args[0])
            labelled = True
            yield Finding("error", "unknown", str(error), "a loss", why, name)
            continue
        labelled = labelled or any(run.labelled for run in found)
        for finding in of_loss(loss, found, expected, official, observed):
            foreign = foreign or finding.official == families.MEANFLOW
            yield replace(finding, loss=name)
    if loaded.sample and not foreign:
        for finding in sampler.findings(list(samplings(port, seed, dtype, labelled)), "sample"):
            if not any(error in finding.code for error in failed):  # said of the loss
                yield replace(finding, loss="sample")


def of_loss(
    loss: Loss,
    found: list[Run],
    expected: Settings,
    official: Settings,
    observed: Observe | None = None,
) -> Iterator[Finding]:
    """Findings on one loss, each from what was measured before it."""
    if not any(run.num_calls for run in found):
        yield Finding("error", "unknown", "the loss never calls the network", "a loss")
        return
    broken = [run for run in found if not _finite(run)]
    if broken:
        yield Finding(
            "error",
            "unknown",
            f"the loss or its gradient is not finite (loss {broken[0].loss:g})",
            "a finite loss",
            f"so in {len(broken)} of {len(found)} runs: no target can be read",
        )
        return
    found = [*found, *_further(loss)]
    way = reading.path_of(found)
    rows = [row for run in found for row in reading.read(run, way)]
    if not rows:
        yield Finding(
            "target",
            "differs",
            "no gradient reaches the network's answer",
            "the mean of weight |u - target|^2",
            "nothing is trained",
        )
        return
    law = formula(way, rows, guidance.official_guidance(expected))
    other = families.family(law)
    if other:
        yield from other
        return
    yield from path.findings(law, found)
    yield from derivative.findings(law, expected, official)
    yield from guidance.findings(law, expected, official)
    yield from guidance.unlabelled_rows(law)
    targets = target.findings(law, found, expected, official)
    yield from targets
    weights: list[Weighted] = []
    if not any(finding.verdict == "unknown" for finding in targets):
        weights = weighted(law, found)
        yield from weight.findings(weights, expected, official)
    drawn: list[Draws] = []

    def draw(num_rows: int, batch: int, seed: int) -> Draws:
        drawn.append(loss.draw(num_rows, batch, seed))
        return drawn[-1]

    yield from path.shared_numbers(law, found)
    yield from laws.findings(draw, expected, official, num_rows=NUM_DRAWS)
    if observed:
        observed(loss.name, drawn[0] if drawn else None, weights)


def _further(loss: Loss) -> list[Run]:
    """Runs of other sizes, which tell a mean from a sum; a port need not take them all."""
    found = []
    for number, (batch, size) in enumerate(FURTHER_SIZES):
        with contextlib.suppress(PortError):
            found.append(loss.paired(10 + number, batch, size))
    return found


def _finite(run: Run) -> bool:
    numbers = run.loss, run.rows.z, run.rows.t, run.rows.h, run.rows.cotangent
    return all(np.isfinite(each).all() for each in numbers)
