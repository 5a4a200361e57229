"""One line of a diagnosis: what a port does, beside what the authors' code does."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["same", "claimed", "differs", "unknown"]
# fmt: off
HEADINGS = (
    "path", "derivative", "guidance", "unlabelled rows", "target", "weight", "rows with r = t",
    "label dropout", "law of times", "sampler", "error", "network",
)
# fmt: on


FIXED_POINT = "the fixed point is another: the network learns another function"


@dataclass(frozen=True)
class Finding:
    """One quantity of a port, as measured.

    Attributes:
        what: one of HEADINGS.
        verdict: same as in the authors' code, claimed by the port, differs from both, or unknown.
        code: formula or number that the port computes.
        official: formula or number of the authors' code.
        detail: what a difference changes (fixed point, variance, scale of the gradient, nothing),
            or why it is unknown: one sentence.
        loss: name of the loss function in the port's file, or of its sampler.
    """

    what: str
    verdict: Verdict
    code: str
    official: str
    detail: str = ""
    loss: str = "loss"
