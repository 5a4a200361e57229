"""What a port is held to: the settings of the authors' two codes, and the port's own claims.

Names are keys of `method`, and those that the CIFAR-10 code adds (SPEC.md, sections 2 and 7).
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from impls.common.errors import UserError


@dataclass(frozen=True)
class Settings:
    """Settings of an objective. Defaults: the authors' ImageNet code."""

    noise_dist: Literal["logit_normal", "uniform"] = "logit_normal"
    P_mean_t: float = -0.4
    P_std_t: float = 1.0
    P_mean_r: float = -0.4
    P_std_r: float = 1.0
    mask: Literal["after", "before"] = (
        "after"  # r := t in some rows after or before ordering (t, r)
    )
    data_proportion: float = 0.75  # share of rows with r := t
    equal_rows: Literal["first", "random"] = "first"  # exactly the first ones, or a coin per row
    class_dropout_prob: float = 0.1
    dropped: Literal["first", "random"] = "first"  # which rows lose their label
    guidance_eq: Literal["cfg", "none"] = "cfg"
    omega: float = 1.0
    kappa: float = 0.5
    t_start: float = 0.0
    t_end: float = 1.0
    norm_p: float = 1.0
    norm_eps: float = 0.01
    reduction: Literal["sum", "mean"] = "sum"  # of the squared error over pixels and channels
    tangent: Literal["v01", "v00", "v10", "v11"] = "v01"  # of (z, r, t)
    tangent_velocity: Literal["guided", "network"] = "guided"
    tangent_gradient: float = 0.0


_CIFAR10 = Settings(
    P_mean_t=-2.0, P_std_t=2.0, P_mean_r=-2.0, P_std_r=2.0, data_proportion=0.25,
    equal_rows="random", class_dropout_prob=0.0, guidance_eq="none", norm_p=0.75, norm_eps=1e-3,
)  # fmt: skip
OFFICIAL = {
    "imagenet": Settings(),
    "cifar10_v0": _CIFAR10,
    "cifar10_v1": replace(
        _CIFAR10, P_mean_t=-0.6, P_std_t=1.6, P_mean_r=-4.0, P_std_r=1.6, mask="before"
    ),
}
# One claim for both times, as the key of `method` is.
_BOTH = {"P_mean": ("P_mean_t", "P_mean_r"), "P_std": ("P_std_t", "P_std_r")}


def claimed(official: Settings, claims: Mapping[str, Any]) -> Settings:
    """The official settings with a port's claims in their places.

    Raises:
        UserError: for a claim that is no setting, or whose value has another type.
    """
    known = {field.name: getattr(official, field.name) for field in fields(official)}
    found: dict[str, Any] = {}
    for key, value in claims.items():
        for name in _BOTH.get(key, (key,)):
            if name not in known:
                near = difflib.get_close_matches(key, [*known, *_BOTH], 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise UserError(f"claims has no key {key}{hint}")
            number = isinstance(known[name], float)
            if name == "guidance_eq" and (value is None or value == ""):
                found[name] = "none"
                continue
            if number and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise UserError(f"claims: {key} is {value!r}, expected a number")
            if not number and not isinstance(value, str):
                raise UserError(f"claims: {key} is {value!r}, expected a word")
            found[name] = float(value) if number else value
    return replace(official, **found)
