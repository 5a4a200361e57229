"""Finding on du/dt: the tangent along which it is taken, and how."""

import numpy as np

from verify.ports.finding import FIXED_POINT, Finding
from verify.ports.formula import Formula, Guidance
from verify.ports.reading import text
from verify.ports.settings import Settings


def findings(found: Formula, expected: Settings, official: Settings) -> list[Finding]:
    """The tangent along which du/dt is taken, and how."""
    told = "JVP along (v_g, 0, 1) of (z, r, t)"
    along, times = found.tangent_guided, found.tangent_times
    if times is None and along is None:
        if not found.factor or found.path.name == "unknown":
            return []  # no du/dt in the target: said there
        return [
            Finding(
                "derivative",
                "unknown",
                "no tangent was seen",
                told,
                "du/dt is in the target, but how it is taken was not recognised",
            )
        ]
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
