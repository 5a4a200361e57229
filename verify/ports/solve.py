"""The regression target of each row, from the gradient at the network's answer.

    gradient_i = weight_i (u_i - target_i)
    target = a_x x + a_z z + a_1 1 + sum over other answers b_k u_k + c du/dt

Each row is one linear solve in as many equations as there are pixels. u_k are the answers of other
calls for the same image; du/dt is the derivative along the tangents that were seen. Two answers a
small step apart are a finite difference, which then stands for du/dt.
"""

from dataclasses import dataclass

import numpy as np

from verify.ports.observation import Array
from verify.ports.runs import NUM_CLASSES, Rows, Run, derivative, null_label

SMALL_STEP = 0.06  # largest step in t that counts as a finite difference


@dataclass
class Other:
    """Another answer of the network for the same image, which the target may hold."""

    row: int  # in Rows
    label: str  # own, null or other: of the image, none of the classes, another class
    same_z: bool
    h_is_zero: bool
    t_is_same: bool
    network: int
    sees_gradient: bool


@dataclass
class Target:
    """Target of one row of the regressed answer, as coefficients."""

    row: int
    image: int
    t: float
    h: float
    own_label: bool  # whether the label is the image's own, and not that which stands for none
    ambiguous: bool  # whether the image's own label is that which stands for none
    weight: float
    x: float
    z: float
    one: float
    others: list[tuple[Other, float]]  # u0, u1, …
    head: float  # of the second head
    derivative: float  # of du/dt along the tangents seen; nan where there were none
    step: float  # of a finite difference, else 0
    tangent: tuple[float, float] | None  # dt and dr
    direction: dict[str, float]  # of the tangent in z: coefficients of x, z, 1, u, u0, u1, … , head
    direction_rest: float  # what these do not explain, relative
    rest: float  # what the coefficients do not explain, relative to the gradient
    twins: tuple[int, ...]  # calls whose answer is this very one: their coefficient is in `weight`


def others_of(run: Run, i: int) -> list[Other]:
    """Other answers for the image of row i, each once, without those that are the same call."""
    rows, null = run.rows, null_label(run)
    found: list[Other] = []
    seen = [rows.u[i]]
    own = run.classes[rows.image[i]]
    near = 1e-12 if not run.single else 1e-6
    for k in np.flatnonzero(rows.image == rows.image[i]):
        if k == i or any(np.allclose(rows.u[k], u, rtol=0, atol=near) for u in seen):
            continue
        seen.append(rows.u[k])
        label = "own" if rows.label[k] == own else "other"
        if rows.label[k] == null or not 0 <= rows.label[k] < NUM_CLASSES:
            label = "null"
        found.append(
            Other(
                int(k),
                label,
                bool(np.allclose(rows.z[k], rows.z[i], rtol=0, atol=near * 10)),
                bool(abs(rows.h[k]) < 1e-6),
                bool(abs(rows.t[k] - rows.t[i]) < 1e-6),
                int(rows.network[k]),
                bool(np.any(rows.cotangent[k])),
            )
        )
    return found


def is_step(rows: Rows, i: int, k: int) -> bool:
    """Whether all rows of two calls are apart by one step in t, as in a finite difference."""
    ours, theirs = (np.flatnonzero(rows.call == rows.call[row]) for row in (i, k))
    time = dict(zip(rows.image[ours].tolist(), rows.t[ours].tolist(), strict=True))
    apart = [rows.t[row] - time[j] for row in theirs if (j := int(rows.image[row])) in time]
    return bool(np.ptp(apart) < 1e-5)


def solve(run: Run, i: int) -> Target:
    """The target of row i."""
    rows, j = run.rows, int(run.rows.image[i])
    others = others_of(run, i)
    x = run.images[j]
    named: dict[str, Array] = {"x": x, "z": rows.z[i], "1": np.ones_like(x)}
    steps = [
        other
        for other in others
        if not other.same_z
        and rows.label[other.row] == rows.label[i]
        and 0 < abs(rows.t[other.row] - rows.t[i]) <= SMALL_STEP
        and np.linalg.norm(rows.z[other.row] - rows.z[i]) <= 0.5 * np.linalg.norm(rows.z[i])
        and is_step(rows, i, other.row)
    ]
    rest = [other for other in others if other not in steps]
    for number, other in enumerate(rest):
        named[f"u{number}"] = rows.u[other.row]
    along, tangent, w_z, step = _derivative(run, i, steps)
    if along is not None:
        named["du/dt"] = along
    elif abs(rows.h[i]) > 1e-6:  # whatever took the derivative was not seen: solve for it too
        zero = np.zeros_like(x)
        named |= {f"d{key}": derivative(rows, i, value, 0, 0) for key, value in named.items()}
        named["dt"] = derivative(rows, i, zero, 1, 0)
        named["dh"] = derivative(rows, i, zero, 0, 1)
    if rows.head is not None:
        named["head"] = rows.head[i]
    gradient = rows.cotangent[i]
    scale = np.linalg.norm(gradient)
    coefficients, unexplained = _least_squares(gradient, {"u": rows.u[i], **named})
    weight = coefficients["u"]
    told = {key: -value / weight if weight else np.nan for key, value in coefficients.items()}
    direction: dict[str, float] = {}
    direction_rest = 0.0
    if w_z is not None:
        basis = {key: value for key, value in named.items() if key != "du/dt"}
        basis["u"] = rows.u[i]
        direction, direction_rest = _least_squares(w_z, basis)
        direction_rest /= float(np.linalg.norm(w_z)) or 1.0
    elif told.get("dt"):
        pace = told["dt"]  # of the implied tangent, with dt = 1; h moves as t and -r do
        tangent = (1.0, 1.0 - told["dh"] / pace)
        direction = {
            key[1:]: value / pace
            for key, value in told.items()
            if key[:1] == "d" and key not in ("dt", "dh")
        }
        told["du/dt"] = pace
    same = np.flatnonzero((rows.image == j) & (rows.call != rows.call[i]))
    apart = np.abs(rows.u[same] - rows.u[i]).max(1)  # not exactly 0: a JVP may round otherwise
    twins = tuple(rows.call[same[apart <= run.exact * np.abs(rows.u[i]).max()]].tolist())
    null = null_label(run)
    own = rows.label[i] == run.classes[j] and rows.label[i] != null
    return Target(
        int(i),
        j,
        float(rows.t[i]),
        float(rows.h[i]),
        bool(own),
        bool(run.classes[j] == null),
        weight,
        told["x"],
        told["z"],
        told["1"],
        [(other, told[f"u{number}"]) for number, other in enumerate(rest)],
        told.get("head", 0.0),
        told.get("du/dt", np.nan),
        step,
        tangent,
        direction,
        direction_rest,
        float(unexplained / scale) if scale else np.nan,
        twins,
    )


def _derivative(
    run: Run, i: int, steps: list[Other]
) -> tuple[Array | None, tuple[float, float] | None, Array | None, float]:
    """du/dt as the port took it: its values, tangents of (t, r) and z, and the finite step."""
    rows = run.rows
    same = (rows.image == rows.image[i]) & rows.has_tangent
    for k in np.flatnonzero(same):
        apart = abs(rows.t[k] - rows.t[i]) + abs(rows.h[k] - rows.h[i])
        if apart < 1e-6 and np.allclose(rows.z[k], rows.z[i], rtol=0, atol=1e-5):
            w_t, w_h = float(rows.tangent_t[k]), float(rows.tangent_h[k])
            w_z = rows.tangent_z[k]
            return derivative(rows, int(k), w_z, w_t, w_h), (w_t, w_t - w_h), w_z, 0.0
    if not steps:
        return None, None, None, 0.0
    ahead = max(steps, key=lambda other: rows.t[other.row])
    behind = min(steps, key=lambda other: rows.t[other.row])
    a = ahead.row if rows.t[ahead.row] > rows.t[i] else i
    b = behind.row if rows.t[behind.row] < rows.t[i] else i
    step = float(rows.t[a] - rows.t[b])
    w_r = float((rows.t[a] - rows.h[a] - rows.t[b] + rows.h[b]) / step)
    w_z = (rows.z[a] - rows.z[b]) / step
    return (rows.u[a] - rows.u[b]) / step, (1.0, w_r), w_z, step


def _least_squares(vector: Array, named: dict[str, Array]) -> tuple[dict[str, float], float]:
    """Coefficients by name, and the size of what they leave unexplained."""
    matrix = np.stack(list(named.values()), axis=1)
    sizes = np.linalg.norm(matrix, axis=0)
    sizes[sizes == 0] = 1.0
    found, *_ = np.linalg.lstsq(matrix / sizes, vector, rcond=1e-11)
    rest = float(np.linalg.norm(vector - matrix / sizes @ found))
    return dict(zip(named, (found / sizes).tolist(), strict=True)), rest
