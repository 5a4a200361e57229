"""The findings on a port, in order."""

from collections.abc import Iterator

import numpy as np

from verify.ports import objective, reading, runs
from verify.ports.finding import Finding
from verify.ports.formula import formula, weights
from verify.ports.observation import Weighted
from verify.ports.process import Port
from verify.ports.runs import Run
from verify.ports.settings import Settings

SEEDS = (1, 2, 3, 4)


def paired(port: Port, name: str, seed: int, **options: object) -> Run:
    """A run of a loss whose rows are matched to images by a second one."""
    first = runs.run(port, name, seed, 0, **options)  # type: ignore[arg-type]
    return runs.pair(first, runs.run(port, name, seed, 1, **options))  # type: ignore[arg-type]


def of_loss(port: Port, name: str, expected: Settings, official: Settings) -> Iterator[Finding]:
    """Findings on one loss."""
    found = [paired(port, name, seed) for seed in SEEDS]
    path = reading.path_of(found)
    rows = [row for run in found for row in reading.read(run, path)]
    law = formula(path, rows, objective.official_guidance(expected))
    offsets = [row.offset for row in rows if np.isfinite(row.offset)]
    path.offset = float(np.median(offsets)) if offsets else 0.0
    yield from objective.path(law, found)
    yield from objective.derivative_findings(law, expected, official)
    yield from objective.guidance(law, expected, official)
    yield from objective.unlabelled_rows(law, expected)
    yield from objective.target(law, found, expected, official)
    weighted = []
    for run in found:
        weight, squared = weights(law, run, rows)
        t = np.full(run.batch, np.nan)
        r = np.full(run.batch, np.nan)
        for row in rows:
            if row.run is run:
                t[row.target.image], r[row.target.image] = row.t, row.t - row.h
        weighted.append(Weighted(squared, weight, t, r, run.loss, run.losses, run.images.shape[1], run.exact))
    try:
        from verify.ports import weight as weight_findings
        yield from weight_findings.findings(weighted, expected, official)
    except ImportError:
        pass
