"""Findings on the regression target beyond v_g: du/dt, its factor, and the stop-gradient."""

import numpy as np

from verify.ports import child
from verify.ports.finding import FIXED_POINT, Finding
from verify.ports.formula import Formula
from verify.ports.observation import Array
from verify.ports.reading import Row, text
from verify.ports.runs import Rows, Run, derivative
from verify.ports.settings import Settings


def findings(
    found: Formula, runs: list[Run], expected: Settings, official: Settings
) -> list[Finding]:
    """The regression target beyond v_g: du/dt, its factor and sign, and the stop-gradient."""
    told = "v_g - (t - r) du/dt, without gradient"
    if found.unexplained:
        share = len(found.unexplained) / len(found.rows)
        code = "no combination of v, u and du/dt"
        if share < 1:
            code += f" in {share:.0%} of the rows{_where(found.unexplained, found.good)}"
        return [
            Finding(
                "target",
                "unknown",
                code,
                told,
                "no coefficients explain the gradient at the network's answer",
            )
        ]
    if found.velocity.kind == "unknown":
        return []
    lines = []
    velocity = f"{found.target_guided}" if found.target_guided else "v_g"
    if found.target_guided:
        lines.append(
            (
                f"{velocity} - (t - r) du/dt: not the v_g of the tangent",
                "the guidance is in the derivative alone: another fixed point",
            )
        )
    apart = [row for row in found.good if row.h > 0 and not row.equal]
    k, one = found.factor, "(t - r) " if found.per_interval else ""
    if apart and np.isnan(k):
        lines.append(_factor_line(apart))
    elif apart and abs(k) < 1e-9:
        lines.append(
            (f"{velocity}, without du/dt", "flow matching: u is an instantaneous velocity")
        )
    elif apart and (not found.per_interval or abs(k + 1) > max(1e-5, found.rows[0].run.within)):
        size = "" if abs(abs(k) - 1) < 1e-6 else f"{text(abs(k))} "
        lines.append((f"{velocity} {'+' if k > 0 else '-'} {size}{one}du/dt", FIXED_POINT))
    lines += _gradient(found, runs, expected)
    if not lines:
        claimed = expected.tangent_gradient != official.tangent_gradient
        return [Finding("target", "claimed" if claimed else "same", told, told)]
    return [Finding("target", "differs", code, told, why) for code, why in lines]


def _where(bad: list[Row], good: list[Row]) -> str:
    if all(row.equal for row in bad) and not any(row.equal for row in good):
        return ", those with r = t"
    if not any(row.equal for row in bad) and all(row.equal for row in good):
        return ", those with r < t"
    return ""


def _factor_line(rows: list[Row]) -> tuple[str, str]:
    """A factor of du/dt that is no multiple of t - r."""
    k = np.array([row.target.derivative for row in rows])
    t = np.array([row.t for row in rows])
    h = np.array([row.h for row in rows])
    within = max(1e-5, rows[0].run.within)
    for name, law in (("t", t), ("r", t - h), ("(t - r)^2", h**2), ("1 - t", 1 - t)):
        ratio = k / np.where(law == 0, np.nan, law)
        if np.nanmax(np.abs(ratio - np.nanmedian(ratio))) < within * abs(np.nanmedian(ratio)):
            scale = float(np.nanmedian(ratio))
            return f"v_g {'+' if scale > 0 else '-'} {text(abs(scale))} {name} du/dt", FIXED_POINT
    ratio = -k / h
    exact = np.abs(ratio - 1) < within
    most = h[exact]
    if most.size and np.all(most.max() <= h[~exact].min()):
        limit = -k[~exact]
        return f"v_g - clip(t - r, 0, {text(float(np.median(limit)))}) du/dt", FIXED_POINT
    return (
        f"v_g - f du/dt, f between {(-k).min():.3g} and {(-k).max():.3g}, no multiple of t - r",
        FIXED_POINT,
    )


def _gradient(found: Formula, runs: list[Run], expected: Settings) -> list[tuple[str, str]]:
    """Gradient of the parameters beyond that through the regressed answer."""
    lines: list[tuple[str, str]] = []
    shares = []
    within = max(1e-5, *(run.within for run in runs))
    for run in runs:
        if run.grad_theta is None:
            continue
        rows = run.rows
        known = _pull(rows, rows.cotangent)
        rest = run.grad_theta - known
        size = np.linalg.norm(known) + np.linalg.norm(run.grad_theta)
        if np.linalg.norm(rest) <= max(run.within, 1e-7) * size:
            shares.append(0.0)
            continue
        through = np.zeros_like(rest)
        for row in found.rows:
            if row.run is run and np.isfinite(row.target.derivative) and not row.equal:
                through -= row.target.derivative * _derivative_pull(row)
        share = float(rest @ through / (through @ through)) if through.any() else np.nan
        fits = np.linalg.norm(rest - share * through) < max(run.within, 1e-5) * np.linalg.norm(rest)
        shares.append(share if fits else np.nan)
    if shares and np.isnan(shares).any():
        lines.append(
            (
                "some gradient reaches the parameters by another way than u",
                "the loss is no plain regression",
            )
        )
    elif shares and abs(max(shares) - expected.tangent_gradient) > within:
        share = max(shares)
        code = "no stop-gradient: the gradient passes through du/dt"
        if abs(share - 1) > within:
            code += f", a share of {text(share)}"
        lines.append((code, "not the gradient of the paper: it differentiates du/dt once more"))
    return lines


def _pull(rows: Rows, cotangent: Array) -> Array:
    """Gradient at theta of the answers' gradients."""
    found = np.zeros(len(child.THETA))
    pattern = child.patterns(rows.z.shape[1], rows.label)
    for k in range(len(found)):
        theta = rows.theta.T.astype(complex)[:, :, None]
        theta[k] += 1e-30j
        u = child.field(np, theta, rows.z, rows.t, rows.h, pattern)
        found[k] = float((cotangent * u.imag).sum() / 1e-30)
    return found


def _derivative_pull(row: Row) -> Array:
    """Gradient at theta of the answer's gradient times du/dt along the tangents seen."""
    rows, i = row.run.rows, row.target.row
    found = np.zeros(len(child.THETA))
    same = np.flatnonzero(
        (rows.image == rows.image[i])
        & rows.has_tangent
        & (np.abs(rows.t - rows.t[i]) + np.abs(rows.h - rows.h[i]) < 1e-6)
    )
    if not len(same):
        return found
    k, step = int(same[0]), 1e-5
    for n in range(len(found)):
        values = []
        for sign in (1, -1):
            moved = rows.theta.copy()
            moved[k, n] += sign * step
            other = type(rows)(**{**vars(rows), "theta": moved})
            values.append(
                derivative(
                    other, k, rows.tangent_z[k], float(rows.tangent_t[k]), float(rows.tangent_h[k])
                )
            )
        found[n] = float(rows.cotangent[i] @ (values[0] - values[1])) / (2 * step)
    return found
