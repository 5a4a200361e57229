"""Findings on the path z and its velocity v, on the noise and on how images are scaled."""

import numpy as np

from verify.ports.finding import FIXED_POINT, Finding
from verify.ports.formula import Formula
from verify.ports.observation import Array
from verify.ports.reading import Row, alike, text
from verify.ports.runs import Run

OFFICIAL = "z = (1 - t) x + t e, v = e - x"


def findings(found: Formula, runs: list[Run]) -> list[Finding]:
    """The path z and the velocity v that belongs to it."""
    way, time = found.path, "r" if found.path.at_r else "t"
    names = {
        "reversed": f"z = {time} x + (1 - {time}) e",
        "linear": f"z = (1 - {time}) x + {time} e",
        "cosine": f"z = cos(pi {time} / 2) x + sin(pi {time} / 2) e",
    }
    code = names.get(way.name, "z is no known combination of image and noise")
    if way.noise != (0.0, 1.0):
        code = f"z = (1 - t) x + ({text(way.noise[0])} + {text(way.noise[1])} t) e"
    odd = way.name != "linear" or way.at_r or way.noise != (0.0, 1.0)
    said = _velocity(found)
    lines = []
    if odd or said:
        lines.append(("; ".join(filter(None, [code if odd else "", said])), FIXED_POINT))
    lines += _noise(found, runs)
    lines += _images(found)
    if not lines:
        return [Finding("path", "same", f"{code}, v = e - x", OFFICIAL)]
    return [Finding("path", "differs", told, OFFICIAL, why) for told, why in lines]


def shared_numbers(found: Formula, runs: list[Run]) -> list[Finding]:
    """Finding on noise and times that are drawn from the same random numbers.

    The first numbers of a batch's noise are then the normals of its times, row by row. Five
    standard errors: false alarms below 1e-6.
    """
    times, noise = [], []
    for run in runs:
        rows = {row.target.image: row for row in found.rows if row.run is run}
        e = _noise_of(found, rows[0]) if len(rows) == run.batch else None
        if e is not None:
            times += [rows[j].t for j in range(run.batch)]
            noise += e[: run.batch].tolist()
    if len(times) < 30:
        return []
    ranks = np.corrcoef(np.argsort(np.argsort(times)), np.argsort(np.argsort(noise)))[0, 1]
    if abs(ranks) < 5 / np.sqrt(len(times)):
        return []
    code = f"noise and times share their random numbers (rank correlation {ranks:.2f})"
    why = "each time comes with a noise that goes with it: another coupling"
    return [Finding("law of times", "differs", code, "independent draws", why)]


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


def _images(found: Formula) -> list[tuple[str, str]]:
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
    drawn = [(row, e) for row in found.rows if (e := _noise_of(found, row)) is not None]
    if not drawn:
        return []
    noise = np.concatenate([e for _, e in drawn])
    if noise.std() < 1e-6:
        return [("z holds no noise", FIXED_POINT)]
    if any(np.isnan(row.run.rows.factor[row.target.row]) for row in found.rows):
        scales = [row.scale for row in found.good if np.isfinite(row.scale)]
        paired = "the noise is paired with the images: it depends on them"
        why = "another coupling of data and noise: other paths, another variance"
        return [(paired, why)] if alike(scales, 1e-5) else []
    data = np.concatenate([row.run.images[row.target.image] for row, _ in drawn])
    first = [e for row, e in drawn if row.run is runs[0] and e.std() > 1e-6 * noise.std()]
    return _departures(noise, data, first)


def _noise_of(found: Formula, row: Row) -> Array | None:
    """e of a row, by the path; None where z holds nearly none."""
    time = row.t - row.h if found.path.at_r else row.t
    if found.path.sigma(time) <= 0.02:
        return None
    offset = row.offset if np.isfinite(row.offset) else 0.0
    data = found.path.scale * (row.run.images[row.target.image] + offset)
    z = row.run.rows.z[row.target.row]
    e: Array = (z - found.path.alpha(time) * data) / found.path.sigma(time)
    return e


def _departures(noise: Array, data: Array, first: list[Array]) -> list[tuple[str, str]]:
    """Departures by moments, each at least six standard errors: false alarms below 1e-6.

    Args:
        noise, data: of all rows; first: the noise of the rows of one batch.
    """
    size, lines = noise.size, []
    correlation = float((noise * data).mean() / (noise.std() * data.std()))
    if abs(correlation) > 6 / np.sqrt(size):
        lines.append((f"the noise is correlated with its image ({correlation:.2f})", FIXED_POINT))
    between = np.corrcoef(first) - np.eye(len(first)) if len(first) > 1 else np.zeros(1)
    if np.abs(between).max() > 0.6:
        shared = "rows of a batch share their noise"
        return [*lines, (shared, "fewer independent draws: more variance")]
    deviation = float(noise.std())
    kurtosis = float((noise**4).mean()) / deviation**4
    if abs(deviation - 1) > 6 / np.sqrt(2 * size):
        lines.append((f"the noise has standard deviation {deviation:.2f}", FIXED_POINT))
    if abs(noise.mean()) > 6 * deviation / np.sqrt(size):
        lines.append((f"the noise has mean {noise.mean():.2f}", FIXED_POINT))
    elif abs(kurtosis - 3) > 6 * np.sqrt(24 / size):
        lines.append((f"the noise is not normal (kurtosis {kurtosis:.2f})", FIXED_POINT))
    return lines
