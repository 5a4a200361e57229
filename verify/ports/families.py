"""Ports of another family than MeanFlow: named by one line, and not judged further."""

import numpy as np

from verify.ports.finding import Finding
from verify.ports.formula import Formula
from verify.ports.reading import Row

MEANFLOW = "MeanFlow: u(z, r, t) against v_g - (t - r) du/dt"
WHY = "another objective: its other lines would say nothing, so they are left out"


def family(found: Formula) -> list[Finding]:
    """One line that names another family; none for MeanFlow."""
    rows = found.rows
    if all(row.run.num_times < 2 for row in rows):
        return [
            Finding(
                "target", "differs", "flow matching: the network is given one time", MEANFLOW, WHY
            )
        ]
    heads = [row for row in rows if row.run.rows.cotangent_head is not None]
    trained = any(np.any(row.run.rows.cotangent_head[row.target.row]) for row in heads)  # type: ignore[index]
    along = [row.target.direction.get("head", 0.0) for row in heads if not row.equal]
    if trained or any(abs(value) > 1e-6 for value in along):
        told = "improved MeanFlow (iMF): a second head v"
        told += (
            ", and du/dt along it" if any(abs(value) > 1e-6 for value in along) else " is trained"
        )
        return [Finding("target", "differs", told, MEANFLOW, WHY)]
    if rows and not found.unexplained and all(_is_nothing(row) for row in rows):
        return [
            Finding("target", "differs", "0: the network's answer is made small", MEANFLOW, WHY)
        ]
    v = found.velocity
    if v.kind == "constant":
        for p, q, name in ((1.0, 0.0, "data: x-prediction"), (0.0, 1.0, "noise: e-prediction")):
            if abs(v.p - p) + abs(v.q - q) < 1e-5:
                return [
                    Finding("target", "differs", f"the network predicts the {name}", MEANFLOW, WHY)
                ]
    strangers = [
        other
        for row in found.good
        for other, value in row.terms
        if abs(value) > 1e-6 and not other.same_z
    ]
    if strangers:
        told = "it holds the network's answer at another state of the path, z_s"
        why = "as of alpha-Flow, consistency or interval-splitting losses: " + WHY
        return [Finding("target", "differs", told, MEANFLOW, why)]
    return []


def _is_nothing(row: Row) -> bool:
    """Whether the target of a row is 0: no image or noise in it, no answer, no du/dt."""
    values = [row.target.x, row.target.z, *(value for _, value in row.terms)]
    if np.isfinite(row.target.derivative):  # nan: no derivative was seen
        values.append(row.target.derivative)
    return max(map(abs, values)) < row.run.within
