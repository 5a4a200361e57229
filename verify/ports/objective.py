"""Findings on the objective: path, derivative, guidance, unlabelled rows and target.

Each is said in terms of what was measured before it: a guidance other than the official one is one
line, and the tangent along that very v_g is right.
"""

import numpy as np

from verify.ports import child
from verify.ports.finding import Finding, Verdict
from verify.ports.formula import Formula, Guidance
from verify.ports.reading import Row, text
from verify.ports.runs import Run, derivative
from verify.ports.settings import Settings

OFFICIAL_PATH = "z = (1 - t) x + t e, v = e - x"
FIXED_POINT = "the fixed point is another: the network learns another function"


def official_guidance(settings: Settings) -> Guidance:
    """Coefficients of v_g under these settings."""
    if settings.guidance_eq == "none":
        return Guidance()
    return Guidance(settings.omega, 1 - settings.omega - settings.kappa, settings.kappa)


def v_g(guided: Guidance) -> str:
    """The formula of a guided velocity."""
    parts = [f"{text(guided.v)} v"]
    for value, name in (
        (guided.null, "u(z, t, 0, null)"), (guided.own, "u(z, t, 0, y)"),
        (guided.other, "u(z, t, 0, another class)"),
    ):  # fmt: skip
        if abs(value) > 1e-6:
            parts.append(f"{'-' if value < 0 else '+'} {text(abs(value))} {name}")
    if guided.is_none:
        return "v_g = v"
    told = "v_g = " + " ".join(parts)
    if not guided.other and abs(guided.v + guided.null + guided.own - 1) < 1e-6:
        told += f" (omega {text(guided.v)}, kappa {text(guided.own)})"
    return told


def verdict(is_expected: bool, is_official: bool) -> Verdict:
    """Expected: as claimed, or official where nothing is claimed."""
    if not is_expected:
        return "differs"
    return "same" if is_official else "claimed"


def path(found: Formula, runs: list[Run]) -> list[Finding]:
    """The path z and the velocity v that belongs to it."""
    way = found.path
    lines = []
    if way.name == "unknown":
        lines.append(("z is no known combination of image and noise", "another path"))
    names = {
        "reversed": "z = t x + (1 - t) e", "cosine": "z = cos(pi t / 2) x + sin(pi t / 2) e",
        "linear": "z = (1 - t) x + t e",
    }  # fmt: skip
    code = names.get(way.name, "z = ?")
    if way.name in ("reversed", "cosine"):
        lines.append((code, f"the network learns another flow; {FIXED_POINT}"))
    said = _velocity(found)
    if said:
        lines.append((said, FIXED_POINT))
    lines += _noise(found, runs)
    scaled = ""
    if abs(way.scale - 1) > 1e-6 or abs(way.offset) > 1e-6:
        scaled = f"; images enter as {text(way.scale)} x + {text(way.offset)}"
    if not lines:
        return [Finding("path", "same", f"{code}, v = e - x{scaled}", OFFICIAL_PATH)]
    return [Finding("path", "differs", told + scaled, OFFICIAL_PATH, why) for told, why in lines]


def _velocity(found: Formula) -> str:
    """How the velocity departs from the path's own; nothing where it is that."""
    if found.velocity is not None:
        p, q = found.velocity
        return f"v = {text(q)} e + {text(p)} x"
    if found.guided.v < 0 and (found.tangent_guided is None or found.tangent_guided.v < 0):
        return "v = x - e, against the path"
    return ""


def _noise(found: Formula, runs: list[Run]) -> list[tuple[str, str]]:
    """Departures of the noise from independent standard normals."""
    noise = []
    for run in runs:
        rows, taken = run.rows, set()
        for i in range(len(rows.t)):
            j = int(rows.image[i])
            if j < 0 or j in taken or rows.t[i] < 0.02:
                continue
            taken.add(j)
            t = np.asarray(rows.t[i])
            data = found.path.scale * run.images[j] + found.path.offset
            sigma = float(found.path.sigma(t))
            if abs(sigma) > 0.02:
                e = (rows.z[i] - found.path.alpha(t) * data) / sigma
                noise.append((run, j, e))
    if not noise or found.path.name == "unknown":
        return []
    values = np.stack([e for _, _, e in noise])
    size = values.size
    deviation = float(values.std())
    lines = []
    if not all(run.matched for run in runs):
        lines.append(
            ("the noise depends on the images", "noise paired with images is another coupling: the"
             " flow's paths and its variance are others, its ends the same")
        )  # fmt: skip
    if deviation < 1e-6:
        return [*lines, ("z holds no noise", FIXED_POINT)]
    first = values[: runs[0].batch]
    first = first[first.std(1) > 1e-6 * deviation]
    same_rows = np.corrcoef(first) - np.eye(len(first)) if len(first) > 1 else np.zeros(1)
    if np.abs(same_rows).max() > 0.6:
        lines.append(("rows of a batch share their noise", "fewer independent draws: more variance"))
        return lines
    if abs(deviation - 1) > 5 / np.sqrt(2 * size):
        lines.append((f"the noise has standard deviation {deviation:.3g}", FIXED_POINT))
    elif abs(values.mean()) > 5 * deviation / np.sqrt(size):
        lines.append((f"the noise has mean {values.mean():.3g}", FIXED_POINT))
    elif abs(float((values**4).mean()) / deviation**4 - 3) > 5 * np.sqrt(24 / size):
        kurtosis = float((values**4).mean()) / deviation**4
        lines.append((f"the noise is not normal (kurtosis {kurtosis:.3g})", FIXED_POINT))
    return lines


def derivative_findings(found: Formula, expected: Settings, official: Settings) -> list[Finding]:
    """The tangent along which du/dt is taken, and how."""
    told = "JVP along (v_g, 0, 1) of (z, r, t)"
    if found.tangent_times is None and found.tangent_guided is None:
        if not found.factor:
            return []  # no du/dt in the target: said there
        return [Finding("derivative", "unknown", "no tangent was seen", told,
                        "du/dt is in the target, but how it is taken was not recognised")]  # fmt: skip
    lines: list[tuple[str, str]] = []
    if found.step:
        lines.append((f"finite difference with step {text(found.step)}",
                      "an approximation of du/dt with an error of the step's order"))  # fmt: skip
    times = found.tangent_times
    code = f"tangent (v_g, {text(times[1])}, {text(times[0])}) of (z, r, t)" if times else ""
    wanted = {"v01": (1.0, 0.0), "v00": (0.0, 0.0), "v10": (0.0, 1.0), "v11": (1.0, 1.0)}
    if times is None:
        lines.append(("tangents of the times differ from row to row", FIXED_POINT))
    elif not np.allclose(times, wanted[expected.tangent], atol=1e-6):
        lines.append((code, f"du/dt is no total derivative along the flow; {FIXED_POINT}"))
    along, guided = found.tangent_guided, found.guided
    network = expected.tangent_velocity == "network"
    if along is not None and along.near(Guidance(0.0, 0.0, 1.0), 1e-5):
        if not network:
            lines.append(("along the network's own velocity u(z, t, 0, y), as in improved MeanFlow",
                          "the same fixed point, another variance"))  # fmt: skip
    elif along is not None and not along.near(guided, 1e-5):
        if along.is_none:
            lines.append(("along v instead of v_g", f"with guidance, {FIXED_POINT}"))
        else:
            lines.append((f"along {v_g(along).removeprefix('v_g = ')} instead of v_g", FIXED_POINT))
    elif along is None:
        lines.append(("the tangent of z is no combination of v and the network's answers",
                      FIXED_POINT))  # fmt: skip
    if not lines:
        same = expected.tangent == official.tangent and not network
        return [Finding("derivative", "same" if same else "claimed", code, told)]
    return [Finding("derivative", "differs", code_, told, why) for code_, why in lines]


def guidance(found: Formula, expected: Settings, official: Settings) -> list[Finding]:
    """The guided velocity of labelled rows, its window, and the answers that it is made of."""
    want, theirs = official_guidance(expected), official_guidance(official)
    told = v_g(theirs)
    labelled = any(row.run.labelled for row in found.rows)
    guided = found.guided
    if found.guided.v < 0:  # a reversed velocity is the path's line
        guided = Guidance(-guided.v, -guided.null, -guided.own, -guided.other)
    lines: list[Finding] = []
    code = v_g(guided) if labelled or not guided.is_none else "v_g = v: no labels"
    terms = [other for row in found.rows for other, value in row.terms if abs(value) > 1e-6]
    if not guided.near(want, 1e-5):
        why = "the effective guidance scale omega / (1 - kappa) is another: another fixed point"
        if guided.is_none:
            why = "one step samples without guidance"
        lines.append(Finding("guidance", "differs", code, told, why))
    window = (expected.t_start, expected.t_end)
    if found.window is not None or (not want.is_none and window != (0.0, 1.0)):
        start, end = found.window or (0.0, 1.0)
        fits = _fits(found, window)
        if not fits:
            lines.append(Finding(
                "guidance", "differs", f"guidance only for {start:.2f} <= t <= {end:.2f}",
                f"for {official.t_start:g} <= t <= {official.t_end:g}",
                "v_g = v outside: another fixed point there",
            ))  # fmt: skip
        elif window != (official.t_start, official.t_end) and not guided.is_none:
            lines.append(Finding(
                "guidance", "claimed", f"guidance only for {window[0]:g} <= t <= {window[1]:g}",
                f"for {official.t_start:g} <= t <= {official.t_end:g}",
            ))  # fmt: skip
    if any(not other.h_is_zero and other.same_z and other.t_is_same for other in terms):
        lines.append(Finding("guidance", "differs", "answers at h = t - r, not at h = 0", told,
                             "an average velocity stands for an instantaneous one"))  # fmt: skip
    if any(other.network for other in terms):
        lines.append(Finding("guidance", "differs", "answers of a copy of the network (EMA)",
                             "of the network itself", "the same fixed point, slower to follow"))  # fmt: skip
    if any(other.sees_gradient for other in terms):
        lines.append(Finding("guidance", "differs", "the gradient passes through the answers in v_g",
                             "no gradient", "the loss is no regression: another fixed point"))  # fmt: skip
    if guided.near(want, 1e-5) and not lines:
        same = guided.near(theirs, 1e-5)
        return [Finding("guidance", "same" if same else "claimed", code, told)]
    return lines


def _fits(found: Formula, window: tuple[float, float]) -> bool:
    """Whether rows are guided just where a window says."""
    if found.window is None:
        return all(window[0] <= row.t <= window[1] for row in found.rows if row.target.own_label)
    start, end = found.window
    between = [row.t for row in found.rows if row.target.own_label]
    inside = [t for t in between if start <= t <= end]
    outside = [t for t in between if not start <= t <= end]
    return all(window[0] <= t <= window[1] for t in inside) and not any(
        window[0] <= t <= window[1] for t in outside
    )


def unlabelled_rows(found: Formula, expected: Settings) -> list[Finding]:
    """What rows without a label regress to."""
    if found.dropped is None:
        return []
    dropped = found.dropped
    if dropped.v < 0:
        dropped = Guidance(-dropped.v, -dropped.null, -dropped.own, -dropped.other)
    if dropped.is_none:
        return [Finding("unlabelled rows", "same", "v_g = v", "v_g = v")]
    kept = dropped.near(found.guided, 1e-4)
    code = "unlabelled rows keep v_g" if kept else v_g(dropped)
    return [Finding("unlabelled rows", "differs", code, "v_g = v",
                    "the unconditional velocity is learned wrong, and all guidance with it")]  # fmt: skip


def target(found: Formula, runs: list[Run], expected: Settings, official: Settings) -> list[Finding]:
    """The regression target beyond v_g: du/dt, its factor and sign, and the stop-gradient."""
    told = "v_g - (t - r) du/dt, without gradient"
    good = [row for row in found.rows if row not in found.unexplained]
    if not good:
        return [Finding("target", "unknown", "not a combination of v, u and du/dt", told,
                        "no coefficients explain the gradient at the network's answer")]  # fmt: skip
    lines = []
    if found.unexplained:
        share = len(found.unexplained) / len(found.rows)
        where = _where(found.unexplained, good)
        return [Finding("target", "unknown", f"another target in {share:.0%} of the rows{where}", told,
                        "their target is no combination of v, u and du/dt")]  # fmt: skip
    strangers = [other for row in good for other, value in row.terms
                 if abs(value) > 1e-6 and not (other.same_z and other.t_is_same)]  # fmt: skip
    if strangers:
        return [Finding("target", "differs",
                        "the target holds the network's answer at other points of the path",
                        told, "another objective than MeanFlow (as of consistency or splitting"
                        " losses)")]  # fmt: skip
    apart = [row for row in good if not row.equal]
    k, one = found.factor, "(t - r)" if found.per_interval else ""
    if apart and np.isnan(k):
        lines.append(_factor_line(apart))
    elif apart and abs(k) < 1e-9:
        lines.append(("v_g alone: no du/dt", "flow matching: u is an instantaneous velocity"))
    elif apart and not found.per_interval:
        lines.append((f"v_g {'+' if k > 0 else '-'} {text(abs(k))} du/dt, without the factor t - r",
                      FIXED_POINT))  # fmt: skip
    elif apart and abs(k + 1) > 1e-5:
        lines.append((f"v_g {'+' if k > 0 else '-'} {text(abs(k))} {one} du/dt", FIXED_POINT))
    lines += _gradient(found, runs, expected)
    if not lines:
        return [Finding("target", "same", told, told)]
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
    for name, law in (("t", t), ("r", t - h), ("(t - r)^2", h**2), ("1 - t", 1 - t)):
        ratio = k / np.where(law == 0, np.nan, law)
        if np.nanmax(np.abs(ratio - np.nanmedian(ratio))) < 1e-5 * abs(np.nanmedian(ratio)):
            scale = float(np.nanmedian(ratio))
            return f"v_g {'+' if scale > 0 else '-'} {text(abs(scale))} {name} du/dt", FIXED_POINT
    ratio = -k / h
    most = h[np.abs(ratio - 1) < 1e-6]
    if most.size and np.all(most.max() <= h[np.abs(ratio - 1) >= 1e-6].min()):
        limit = -k[np.abs(ratio - 1) >= 1e-6]
        return f"v_g - clip(t - r, 0, {text(float(np.median(limit)))}) du/dt", FIXED_POINT
    return (f"v_g - f du/dt, f between {(-k).min():.3g} and {(-k).max():.3g}, no multiple of t - r",
            FIXED_POINT)  # fmt: skip


def _gradient(found: Formula, runs: list[Run], expected: Settings) -> list[tuple[str, str]]:
    """Gradient of the parameters beyond that through the regressed answer."""
    lines: list[tuple[str, str]] = []
    shares = []
    for run in runs:
        if run.grad_theta is None:
            continue
        rows = run.rows
        known = _pull(rows, rows.cotangent)
        rest = run.grad_theta - known
        size = np.linalg.norm(known) + np.linalg.norm(run.grad_theta)
        if np.linalg.norm(rest) <= max(run.exact, 1e-8) * 10 * size:
            shares.append(0.0)
            continue
        through = np.zeros_like(rest)
        for row in found.rows:
            if row.run is run and np.isfinite(row.target.derivative) and not row.equal:
                through -= row.target.derivative * _derivative_pull(row)
        share = float(rest @ through / (through @ through)) if through.any() else np.nan
        fits = np.linalg.norm(rest - share * through) < 1e-5 * np.linalg.norm(rest)
        shares.append(share if fits else np.nan)
    if shares and np.isnan(shares).any():
        lines.append(("some gradient reaches the parameters by another way than u",
                      "the loss is no plain regression"))  # fmt: skip
    elif shares and abs(max(shares) - expected.tangent_gradient) > 1e-5:
        share = max(shares)
        code = "no stop-gradient: the gradient passes through du/dt"
        if abs(share - 1) > 1e-5:
            code += f", a share of {text(share)}"
        lines.append((code, "not the gradient of the paper: it differentiates du/dt once more"))
    return lines


def _pull(rows: object, cotangent: np.ndarray) -> np.ndarray:
    """Gradient at theta of the answers' gradients."""
    assert hasattr(rows, "theta")
    found = np.zeros(len(child.THETA))
    pattern = child.patterns(rows.z.shape[1], rows.label)
    for k in range(len(found)):
        theta = rows.theta.T.astype(complex)[:, :, None]
        theta[k] += 1e-30j
        u = child.field(np, theta, rows.z, rows.t, rows.h, pattern)
        found[k] = float((cotangent * u.imag).sum() / 1e-30)
    return found


def _derivative_pull(row: Row) -> np.ndarray:
    """Gradient at theta of the answer's gradient times du/dt along the tangents seen."""
    rows, i = row.run.rows, row.target.row
    found = np.zeros(len(child.THETA))
    same = np.flatnonzero((rows.image == rows.image[i]) & rows.has_tangent
                          & (np.abs(rows.t - rows.t[i]) + np.abs(rows.h - rows.h[i]) < 1e-6))  # fmt: skip
    if not len(same):
        return found
    k, step = int(same[0]), 1e-5
    for n in range(len(found)):
        values = []
        for sign in (1, -1):
            moved = rows.theta.copy()
            moved[k, n] += sign * step
            other = type(rows)(**{**vars(rows), "theta": moved})
            values.append(derivative(other, k, rows.tangent_z[k], float(rows.tangent_t[k]),
                                     float(rows.tangent_h[k])))  # fmt: skip
        found[n] = float(rows.cotangent[i] @ (values[0] - values[1])) / (2 * step)
    return found
