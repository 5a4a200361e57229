"""The findings on a port, in order."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from verify.ports import families, objective, reading
from verify.ports.collect import Loss, open_loss, samplings, weighted
from verify.ports.finding import Finding
from verify.ports.formula import formula
from verify.ports.process import Port, PortError
from verify.ports.runs import Run
from verify.ports.settings import Settings, claimed

FURTHER_SIZES = ((8, 4), (64, 4), (12, 6))  # rows and pixels a side, beside 16 and 8


def diagnose(port: Port, official: Settings, seed: int = 0) -> Iterator[Finding]:
    """Findings on every loss of a port, and on its sampler.

    Raises:
        UserError: when the file is no port, or claims what is no setting.
        PortError: when the port cannot be imported.
    """
    loaded = port.load()
    dtype, foreign = "float64", False
    failed: list[str] = []
    for name in loaded.losses:
        claims = loaded.claims.get(name.replace("loss", "claims", 1), loaded.claims.get("claims", {}))
        expected = claimed(official, claims)
        try:
            loss, found = open_loss(port, name, seed)
            dtype = loss.dtype
        except PortError as error:
            why = "nothing else of this loss could be diagnosed"
            failed.append(error.args[0])
            yield Finding("error", "unknown", str(error), "a loss", why, name)
            continue
        for finding in of_loss(loss, found, expected, official):
            foreign = foreign or finding.official == families.MEANFLOW
            yield replace(finding, loss=name)
    if loaded.sample and not foreign:
        from verify.ports.sampler import findings as of_sampler

        for finding in of_sampler(list(samplings(port, seed, dtype)), "sample"):
            if not any(error in finding.code for error in failed):  # said of the loss
                yield replace(finding, loss="sample")


def of_loss(
    loss: Loss, found: list[Run], expected: Settings, official: Settings
) -> Iterator[Finding]:
    """Findings on one loss, each from what was measured before it."""
    from verify.ports.laws import findings as of_laws
    from verify.ports.weight import findings as of_weight

    if not any(run.num_calls for run in found):
        yield Finding("error", "unknown", "the loss never calls the network", "a loss")
        return
    broken = [run for run in found if not _finite(run)]
    if broken:
        yield Finding(
            "error", "unknown", f"the loss or its gradient is not finite (loss {broken[0].loss:g})",
            "a finite loss", f"so in {len(broken)} of {len(found)} runs: no target can be read",
        )  # fmt: skip
        return
    more = [loss.paired(10 + n, batch, size) for n, (batch, size) in enumerate(FURTHER_SIZES)]
    found = [*found, *more]
    path = reading.path_of(found)
    rows = [row for run in found for row in reading.read(run, path)]
    if not rows:
        yield Finding(
            "target", "differs", "no gradient reaches the network's answer",
            "the mean of weight |u - target|^2", "nothing is trained",
        )  # fmt: skip
        return
    law = formula(path, rows, objective.official_guidance(expected))
    other = families.family(law)
    if other:
        yield from other
        return
    yield from objective.path(law, found)
    yield from objective.derivative_findings(law, expected, official)
    yield from objective.guidance(law, expected, official)
    yield from objective.unlabelled_rows(law, expected)
    targets = objective.target(law, found, expected, official)
    yield from targets
    if not any(finding.verdict == "unknown" for finding in targets):
        yield from of_weight(weighted(law, found), expected, official)
    yield from of_laws(loss.draw, expected, official)


def _finite(run: Run) -> bool:
    numbers = run.loss, run.rows.z, run.rows.t, run.rows.h, run.rows.cotangent
    return all(np.isfinite(each).all() for each in numbers)
