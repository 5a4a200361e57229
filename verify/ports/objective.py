"""Findings on the objective: path, derivative, guidance, unlabelled rows and target.

Each is said in terms of what was measured before it: a guidance other than the official one is one
line, and the tangent along that very v_g is right.
"""

import numpy as np

from verify.ports import child
from verify.ports.finding import Finding, Verdict
from verify.ports.formula import Formula, Guidance, self_coefficient
from verify.ports.reading import Row, alike, text
from verify.ports.runs import NUM_CLASSES, Run, derivative
from verify.ports.settings import Settings

OFFICIAL_PATH = "z = (1 - t) x + t e, v = e - x"
FIXED_POINT = "the fixed point is another: the network learns another function"


def official_guidance(settings: Settings) -> Guidance:
    """Coefficients of v_g under these settings."""
    if settings.guidance_eq == "none":
        return Guidance()
    return Guidance(settings.omega, 1 - settings.omega - settings.kappa, settings.kappa)


def v_g(guided: Guidance) -> str:
    """The formula of a guided velocity, with the paper's two numbers where it has that form."""
    told = f"v_g = {guided}"
    if (
        not guided.is_none
        and not guided.other
        and guided.near(Guidance(guided.v, 1 - guided.v - guided.own, guided.own))
    ):
        told += f" (omega {text(guided.v)}, kappa {text(guided.own)})"
    return told


def verdict(is_expected: bool, is_official: bool) -> Verdict:
    """Expected: as claimed, or official where nothing is claimed."""
    if not is_expected:
        return "differs"
    return "same" if is_official else "claimed"


def path(found: Formula, runs: list[Run]) -> list[Finding]:
    """The path z and the velocity v that belongs to it."""
    way, time = found.path, "r" if found.path.at_r else "t"
    names = {
        "reversed": f"z = {time} x + (1 - {time}) e", "linear": f"z = (1 - {time}) x + {time} e",
        "cosine": f"z = cos(pi {time} / 2) x + sin(pi {time} / 2) e",
    }  # fmt: skip
    code = names.get(way.name, "z is no known combination of image and noise")
    if way.noise != (0.0, 1.0):
        code = f"z = (1 - t) x + ({text(way.noise[0])} + {text(way.noise[1])} t) e"
    odd = way.name != "linear" or way.at_r or way.noise != (0.0, 1.0)
    said = _velocity(found)
    lines = []
    if odd or said:
        lines.append(("; ".join(filter(None, [code if odd else "", said])), FIXED_POINT))
    lines += _noise(found, runs)
    lines += _images(found, runs)
    if not lines:
        return [Finding("path", "same", f"{code}, v = e - x", OFFICIAL_PATH)]
    return [Finding("path", "differs", told, OFFICIAL_PATH, why) for told, why in lines]


def _velocity(found: Formula) -> str:
    """How the velocity departs from the path's own; nothing where it is that."""
    v = found.velocity
    if v.kind == "unknown":
        return "" if found.path.name == "unknown" or not found.good else "v is no known velocity"
    if v.kind == "constant":
        if abs(v.p + v.q) < 1e-6:
            return f"v = {_times(v.q, 'e - x')}" if v.q > 0 else f"v = {_times(-v.q, 'x - e')}"
        return f"v = {text(v.q)} e {'-' if v.p < 0 else '+'} {text(abs(v.p))} x"
    if abs(v.p - 1) < 1e-6:
        return ""
    if found.path.name == "linear":
        return f"v = {_times(v.p, 'e - x')}" if v.p > 0 else f"v = {_times(-v.p, 'x - e')}"
    return f"v = {text(v.p)} dz/dt"


def _times(factor: float, formula: str) -> str:
    return formula if abs(factor - 1) < 1e-6 else f"{text(factor)} ({formula})"


def _images(found: Formula, runs: list[Run]) -> list[tuple[str, str]]:
    """How images are scaled before they enter the path."""
    linear = found.path.name == "linear" and found.velocity.kind == "own"
    offsets = [row.offset for row in found.good if np.isfinite(row.offset)]
    scales = [(id(row.run), row.scale) for row in found.good if np.isfinite(row.scale)]
    why = "data of another scale meet the same noise: other times matter"
    if linear and scales and not alike([scale for _, scale in scales], 1e-5):
        return [("images are scaled or standardised by each batch", why)]
    scale, offset = found.path.scale, 0.0
    if offsets and alike(offsets, 1e-5) and linear:
        offset = float(np.median(offsets)) * scale
    if abs(scale - 1) < 1e-6 and abs(offset) < 1e-6:
        return []
    plus = f" {'-' if offset < 0 else '+'} {text(abs(offset))}" if abs(offset) > 1e-6 else ""
    return [(f"images enter as {text(scale)} x{plus}", why)]


def _noise(found: Formula, runs: list[Run]) -> list[tuple[str, str]]:
    """Departures of the noise from independent standard normals."""
    if found.path.name == "unknown" or found.velocity.kind == "unknown":
        return []
    values, images, taken = [], [], []
    for row in found.rows:
        time = row.t - row.h if found.path.at_r else row.t
        if found.path.sigma(time) > 0.02:
            data = row.run.images[row.target.image]
            e = row.run.rows.z[row.target.row] - found.path.alpha(time) * found.path.scale * data
            offset = (
                found.path.alpha(time)
                * found.path.scale
                * (row.offset if np.isfinite(row.offset) else 0)
            )
            values.append((e - offset) / found.path.sigma(time))
            images.append(data)
            taken.append(row)
    if not values:
        return []
    noise, data = np.concatenate(values), np.concatenate(images)
    if noise.std() < 1e-6:
        return [("z holds no noise", FIXED_POINT)]
    size, lines = noise.size, []
    if any(np.isnan(run.rows.factor[row.target.row]) for row in found.rows for run in [row.run]):
        scales = [row.scale for row in found.good if np.isfinite(row.scale)]
        if found.good and alike(scales, 1e-5):
            return [("the noise is paired with the images: it depends on them",
                     "another coupling of data and noise: other paths, another variance")]  # fmt: skip
        return []
    correlation = float((noise * data).mean() / (noise.std() * data.std()))
    if abs(correlation) > 6 / np.sqrt(size):
        lines.append((f"the noise is correlated with its image ({correlation:.2f})", FIXED_POINT))
    first = [e for row, e in zip(taken, values, strict=True) if row.run is runs[0]
             and e.std() > 1e-6 * noise.std()]  # fmt: skip
    alike_rows = np.corrcoef(first) - np.eye(len(first)) if len(first) > 1 else np.zeros(1)
    if np.abs(alike_rows).max() > 0.6:
        return [
            *lines,
            ("rows of a batch share their noise", "fewer independent draws: more variance"),
        ]
    deviation = float(noise.std())
    kurtosis = float((noise**4).mean()) / deviation**4
    if abs(deviation - 1) > 6 / np.sqrt(2 * size):
        lines.append((f"the noise has standard deviation {deviation:.2f}", FIXED_POINT))
    if abs(noise.mean()) > 6 * deviation / np.sqrt(size):
        lines.append((f"the noise has mean {noise.mean():.2f}", FIXED_POINT))
    elif abs(kurtosis - 3) > 6 * np.sqrt(24 / size):
        lines.append((f"the noise is not normal (kurtosis {kurtosis:.2f})", FIXED_POINT))
    return lines


def derivative_findings(found: Formula, expected: Settings, official: Settings) -> list[Finding]:
    """The tangent along which du/dt is taken, and how."""
    told = "JVP along (v_g, 0, 1) of (z, r, t)"
    along, times = found.tangent_guided, found.tangent_times
    if times is None and along is None:
        if not found.factor or found.path.name == "unknown":
            return []  # no du/dt in the target: said there
        return [Finding("derivative", "unknown", "no tangent was seen", told,
                        "du/dt is in the target, but how it is taken was not recognised")]  # fmt: skip
    wanted = {"v01": (1.0, 0.0), "v00": (0.0, 0.0), "v10": (0.0, 1.0), "v11": (1.0, 1.0)}
    network = Guidance(0.0, 0.0, 1.0)
    want = network if expected.tangent_velocity == "network" else found.guided
    direction, why = "v_g", ""
    if along is None:
        direction, why = "another direction than v and the network's answers", FIXED_POINT
    elif along.near(network):
        direction = "u(z, t, 0, y)"
        why = "the network's own velocity, as in improved MeanFlow: the same fixed point"
    elif not along.near(found.guided):
        direction, why = str(along), f"no derivative along the path of v_g; {FIXED_POINT}"
        if along.near(found.guided.times(-1)):
            direction = "-v_g"
    dr, dt = (times[1], times[0]) if times else (np.nan, np.nan)
    code = f"JVP along ({direction}, {text(dr)}, {text(dt)}) of (z, r, t)"
    if times is None:
        code, why = f"{code}: the times' tangents differ from row to row", FIXED_POINT
    elif not np.allclose(times, wanted[expected.tangent], atol=1e-6):
        why = f"du/dt is no total derivative along the flow; {FIXED_POINT}"
    elif along is not None and along.near(want):
        why = ""
    if found.step:
        code = code.replace("JVP", f"finite difference with step {text(found.step)}", 1)
        why = why or "an approximation of du/dt, with an error of the step's order"
    if why:
        return [Finding("derivative", "differs", code, told, why)]
    same = (
        expected.tangent == official.tangent
        and expected.tangent_velocity == official.tangent_velocity
    )
    return [Finding("derivative", "same" if same else "claimed", code, told)]


def guidance(found: Formula, expected: Settings, official: Settings) -> list[Finding]:
    """The guided velocity of labelled rows, its window, and the answers that it is made of."""
    want, theirs = official_guidance(expected), official_guidance(official)
    told, guided = v_g(theirs), found.guided
    labelled = any(row.run.labelled for row in found.rows)
    code = v_g(guided) if labelled or not guided.is_none else "v_g = v: no labels"
    terms = [other for row in found.good for other, value in row.terms if abs(value) > 1e-6]
    unused = any(other.label == "null" and other.h_is_zero for row in found.good if row.target.own_label
                 and not row.equal for other, _ in row.terms)  # fmt: skip
    lines: list[tuple[str, str, str, Verdict]] = []
    if not guided.near(want):
        why = "the effective guidance scale omega / (1 - kappa) is another: another fixed point"
        if guided.is_none:
            why = "one step samples without guidance"
            if unused:
                code += " (answers with the null label cancel or are not used)"
        lines.append((code, told, why, "differs"))
    for line in _window_lines(found, expected, official):
        lines.append(line)
    null = {int(row.run.rows.label[other.row]) for row in found.good for other, value in row.terms
            if other.label == "null" and abs(value) > 1e-6}  # fmt: skip
    if any(0 <= label < NUM_CLASSES for label in null):
        lines.append((f"the null label is that of class {min(null)}", "num_classes",
                      "a class is trained as no class: guidance away from it", "differs"))  # fmt: skip
    if any(other.same_z and not other.h_is_zero for other in terms) or any(
        self_coefficient(row) for row in found.good if not row.equal
    ):
        lines.append(("answers with h > 0 (h = t - r or t)", "h = 0",
                      "an average velocity stands for an instantaneous one", "differs"))  # fmt: skip
    if any(other.network for other in terms):
        lines.append(("answers of a copy of the network (EMA)", "of the network itself",
                      "the same fixed point, slower to follow", "differs"))  # fmt: skip
    if any(other.sees_gradient for other in terms):
        lines.append(("the gradient passes through the answers in v_g", "no gradient",
                      "the loss is no regression: another fixed point", "differs"))  # fmt: skip
    if any(kind == "differs" for *_, kind in lines):
        return [Finding("guidance", kind, c, o, why) for c, o, why, kind in lines]
    same = guided.near(theirs) and not lines
    window = f"; {lines[0][0]}" if lines else ""
    return [Finding("guidance", "same" if same else "claimed", code + window, told)]


def _window_lines(
    found: Formula, expected: Settings, official: Settings
) -> list[tuple[str, str, str, Verdict]]:
    """Lines on the times between which labelled rows are guided."""
    if found.guided.is_none:
        return []
    window = (expected.t_start, expected.t_end)
    told = f"for {official.t_start:g} <= t <= {official.t_end:g}"
    (low, high), (least, most) = found.bounds or ((0.0, 0.0), (1.0, 1.0))
    times = [row.t for row in found.good if row.target.own_label]
    if found.bounds is None and times:
        high, least = min(times), max(times)
    fits = low <= window[0] <= high and least <= window[1] <= most
    if not fits:
        start, end = found.window or (0.0, 1.0)
        why = "v_g = v at other times: another fixed point there"
        return [(f"guidance only for {start:g} <= t <= {end:g}", told, why, "differs")]
    if window == (official.t_start, official.t_end):
        return []
    return [(f"guidance only for {window[0]:g} <= t <= {window[1]:g}", told, "", "claimed")]


def unlabelled_rows(found: Formula, expected: Settings) -> list[Finding]:
    """What rows without a label regress to."""
    dropped = found.dropped
    if dropped is None:
        return []
    if dropped.is_none:
        return [Finding("unlabelled rows", "same", "v_g = v", "v_g = v")]
    code = "they keep v_g" if dropped.near(found.guided, 1e-4) else f"v_g = {dropped}"
    why = "the unconditional velocity is learned wrong, and all guidance with it"
    return [Finding("unlabelled rows", "differs", code, "v_g = v", why)]


def target(
    found: Formula, runs: list[Run], expected: Settings, official: Settings
) -> list[Finding]:
    """The regression target beyond v_g: du/dt, its factor and sign, and the stop-gradient."""
    told = "v_g - (t - r) du/dt, without gradient"
    if found.unexplained:
        share = len(found.unexplained) / len(found.rows)
        code = "no combination of v, u and du/dt"
        if share < 1:
            code += f" in {share:.0%} of the rows{_where(found.unexplained, found.good)}"
        return [Finding("target", "unknown", code, told,
                        "no coefficients explain the gradient at the network's answer")]  # fmt: skip
    if found.velocity.kind == "unknown":
        return []
    lines = []
    velocity = f"{found.target_guided}" if found.target_guided else "v_g"
    if found.target_guided:
        lines.append((f"{velocity} - (t - r) du/dt: not the v_g of the tangent",
                      "the guidance is in the derivative alone: another fixed point"))  # fmt: skip
    apart = [row for row in found.good if not row.equal]
    k, one = found.factor, "(t - r) " if found.per_interval else ""
    if apart and np.isnan(k):
        lines.append(_factor_line(apart))
    elif apart and abs(k) < 1e-9:
        lines.append(
            (f"{velocity}, without du/dt", "flow matching: u is an instantaneous velocity")
        )
    elif apart and (not found.per_interval or abs(k + 1) > 1e-5):
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
