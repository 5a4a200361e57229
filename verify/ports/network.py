"""The port's real network, which `build` of its file returns: `meanflow diagnose --network`.

    def build():                      # PyTorch: a module
        return DiT(depth=2)           # JAX: (net, params) with net(params, ...), or a flax module
    build.shape = (3, 32, 32)         # optional: channels, height, width of its images

The network is called as the port's own loss calls it: that call is repeated with other times and
labels, in evaluation mode, with noise added to the parameters (one that starts at zero would hide
what comes before its last layer), in float64 where the network takes it. A small one is enough.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from verify.ports.finding import Finding
from verify.ports.observation import Array
from verify.ports.process import Port, PortError

SECONDS = 120.0  # for all calls of a real network, at least
STEPS = 3  # sizes of central differences
CLOSE = 0.05  # relative: of a derivative and the best of its central differences
SAME = 1e-9  # relative: of answers to the same question in float64; in float32 it is 1e-4
EMBEDDED = "sines and cosines of (t, h), frequencies up to 1"


class Measured(NamedTuple):
    """Answers of a real network, and what was noted about them."""

    arrays: dict[str, Array]
    words: dict[str, Any]

    @property
    def second(self) -> str:
        """Name of the second time among the arguments, r or h; nothing where there is one only."""
        return str(self.words["second"])

    @property
    def names(self) -> list[str]:
        """Names of the times among the arguments."""
        return ["t", self.second] if self.second else ["t"]

    @property
    def rounding(self) -> float:
        """Difference of answers that rounding explains."""
        largest = float(np.abs(self.arrays["u"]).max())
        return (SAME if self.words["wide"] else 1e-4) * largest

    def moves(self, name: str, point: str = "base") -> float:
        """Largest derivative in a time, by central differences."""
        steps = [self.arrays[f"{point}/difference_{name}{i}"] for i in range(STEPS)]
        return float(np.abs(steps[0]).max())

    def depends(self, name: str) -> bool:
        """Whether the answer depends on a time, as far as differences of 0.02 tell."""
        return self.moves(name) * 0.02 > 10 * self.rounding


def findings(port: Port) -> list[Finding]:
    """Findings on the network that the port's function build returns.

    Raises:
        PortError: never; what fails is a finding.
    """
    loaded = port.loaded or port.load()
    if not loaded.build:
        return [_line("unknown", "the file has no function build", "", "nothing to examine")]
    port.call_seconds = max(port.call_seconds, SECONDS)
    try:
        words, arrays = port.ask(op="real", name=loaded.losses[0], seed=0)
    except PortError as error:
        return [_line("unknown", str(error), "", "its network could not be run")]
    if "refused" in words:
        return [_line("unknown", words["refused"], "", "its network could not be examined")]
    found = Measured(arrays, words)
    if not np.isfinite(arrays["u"]).all():
        return [
            _line("differs", "its answer is not finite", "a finite u", "nothing can be trained")
        ]
    lines = [times(found), interval(found), derivative(found), modes(found)]
    return [*lines, *rounding(found)]


def _line(verdict: Any, code: str, official: str, detail: str = "") -> Finding:
    return Finding("network", verdict, code, official, detail, "build")


def times(found: Measured) -> Finding:
    """Which times are embedded, and whether they are scaled."""
    zero = "" if np.any(found.arrays["start"]) else "its answer is zero before training"
    absent = [name for name in found.names if not found.depends(name)]
    if not found.second:
        why = "it is a velocity at a time: no average over [r, t] can be learned"
        return _line("differs", "it is given one time only", EMBEDDED, why)
    if absent:
        which = " and ".join(absent)
        lost = "t" in absent
        why = "all times look alike to it" if lost else "intervals of any length look alike to it"
        return _line("differs", f"its answer does not depend on {which}", EMBEDDED,
                     f"{why}: the average velocity cannot be learned")  # fmt: skip
    embedded: dict[str, float] = {}
    for name, factor in found.words["sines"] or found.words["given"]:
        embedded[name] = max(factor, embedded.get(name, 0.0))
    how = "sines and cosines" if found.words["sines"] else "embeddings"
    if not embedded:
        return _line("unknown", f"it depends on t and {found.second}", EMBEDDED,
                     "no sine, cosine or part of it is given a multiple of a time")  # fmt: skip
    names = ", ".join(name for name in ("t", "r", "h") if name in embedded)
    factors = sorted({float(f"{value:.3g}") for value in embedded.values()})
    what = "frequencies" if found.words["sines"] else "multiples"
    code = f"{how} of ({names}), {what} up to {' and '.join(f'{value:g}' for value in factors)}"
    reasons = []
    if set(embedded) != {"t", "h"}:
        reasons.append("another parametrization of the same function: the same fixed point")
    if factors[-1] > 2:
        reasons.append(
            f"terms of du/dt are up to {factors[-1]:g} times as steep: so are variance and rounding"
        )
    if factors[-1] < 0.5:
        reasons.append("times are told apart less well")
    if zero:
        reasons.append(zero)
    differs = len(reasons) > bool(zero)
    return _line("differs" if differs else "same", code, EMBEDDED, "; ".join(reasons))


def interval(found: Measured) -> Finding:
    """Answer and derivatives where r = t."""
    official = "u and its derivatives are finite where r = t"
    keys = [key for key in found.arrays if key.startswith("equal/")]
    bad = sorted(key.partition("/")[2] for key in keys if not np.isfinite(found.arrays[key]).all())
    if "u" in bad:
        return _line("differs", "u is not finite where r = t", official,
                     "three quarters of the rows have r = t: the loss is not a number")  # fmt: skip
    jvps = [name[4:] for name in bad if name.startswith("jvp")]
    if jvps:
        code = f"du/d{' and du/d'.join(jvps)} is not finite where r = t"
        why = "0 times it is not a number: so is the loss of every row with r = t"
        return _line("differs", code, official, why)
    return _line("same", official, official)


def derivative(found: Measured) -> Finding:
    """Forward-mode derivatives in the times, beside central differences."""
    official = "its JVP is its derivative"
    errors = {key: text for key, text in found.words["errors"].items() if key.startswith("base")}
    if errors:
        return _line("unknown", f"its JVP fails: {next(iter(errors.values()))}", official,
                     "du/dt cannot be taken by forward mode through it")  # fmt: skip
    wrong, why = [], ""
    for name in found.names:
        jvp = found.arrays[f"base/jvp_{name}"]
        steps = [found.arrays[f"base/difference_{name}{i}"] for i in range(STEPS)]
        noise = [found.rounding / 10.0 ** -(2 + i) for i in range(STEPS)]
        misses = [
            float(np.abs(jvp - step).max()) - more for step, more in zip(steps, noise, strict=True)
        ]
        size = max(float(np.abs(jvp).max()), found.moves(name))
        if min(misses) <= CLOSE * size:
            continue
        wrong.append(f"du/d{name}")
        if not jvp.any():
            why = "the JVP is 0 while the answer changes: something detaches it, or rounds the time"
    if not wrong:
        plain = found.words["plain_attention"]
        note = "with attention by plain products: the fused kind has no JVP" if plain else ""
        return _line("same", official, official, note)
    why = why or "the JVP is another than central differences"
    return _line("differs", f"{' and '.join(wrong)}: {why}", official,
                 "du/dt in the target is wrong: another fixed point")  # fmt: skip


def modes(found: Measured) -> Finding:
    """What training mode and chance do to the answer."""
    official = "no chance in it: labels are dropped in the loss, there is no dropout"
    u, again, train = (found.arrays[name] for name in ("u", "again", "train"))
    if np.abs(u - again).max() > found.rounding:
        code = "its answer changes from call to call in evaluation mode"
        return _line("differs", code, official, "u and its derivative are of different draws")
    changed = _apart(train, u[None]) > found.rounding  # [calls, rows]
    if not changed.any():
        return _line("same", official, official)
    share = _labels_dropped(found)
    if share:
        return _line("differs", f"labels are dropped inside it ({share:.2f} of the rows)", official,
                     "rows lose their label that learn the guided velocity, and the calls for"
                     " guidance lose theirs")  # fmt: skip
    if np.abs(train - train[:1]).max() <= found.rounding:
        return _line("differs", "in training mode its answer is another, without chance", official,
                     "statistics of the batch enter it: rows depend on each other")  # fmt: skip
    rare = bool((~changed).any())
    code = "it draws in training mode" + (
        f": {changed.mean():.2f} of the rows change" if rare else ": dropout"
    )
    why = "the target is another one unless value and tangent see the same draw"
    return _line("differs", code, official, why)


def _labels_dropped(found: Measured) -> float:
    """Share of the rows without their label in training mode; 0 where chance does anything else."""
    if "null" not in found.arrays:
        return 0.0
    train = found.arrays["train"]
    is_null = _apart(train, found.arrays["null"][None]) <= found.rounding  # [calls, rows]
    if is_null.all(0).any():
        return 0.0
    labelled = np.stack([train[is_null[:, i].argmin(), i] for i in range(train.shape[1])])
    explained = is_null | (_apart(train, labelled[None]) <= found.rounding)
    return float(is_null.mean()) if explained.all() else 0.0


def _apart(a: Array, b: Array) -> Array:
    """Largest difference of each row: over all axes but those of calls and rows."""
    pixels = tuple(range(-3, 0)) if a.ndim > 3 else (-1,)
    most: Array = np.abs(a - b).max(axis=pixels)
    return most


def rounding(found: Measured) -> list[Finding]:
    """Times and answers of fewer bits than float32, told by answers that do not change."""
    official = "times in float32"
    stuck = []
    for name in found.names:
        fine = found.arrays[f"fine_{name}"]  # at times 2e-4 apart, and at 0.02 from the first
        moved = np.abs(fine[-1] - fine[0]).max() > 10 * found.rounding
        equal = [np.array_equal(a, b) for a, b in pairwise(fine[:-1])]
        if moved and np.mean(equal) > 0.4:
            stuck.append(name)
    answer = found.words["answer"]
    if stuck:
        code = f"{' and '.join(stuck)} is rounded: times 0.0002 apart are one"
        why = "du/dt through it is 0 or coarse: another fixed point"
        return [_line("differs", code, official, why)]
    if answer in ("bfloat16", "float16"):
        return [_line("differs", f"its answer is {answer}", "float32",
                      "du/dt is the small difference of what is rounded so")]  # fmt: skip
    return [_line("same", official, official)]
