"""Forms of the training step to compare, as overrides of a configuration.

Plain flow matching is MeanFlow with r = t in every row and no guidance: the same network, step and
optimizer without a JVP. The paper's overhead of 16 % is relative to it.
"""

from collections.abc import Sequence
from typing import Any

from impls.common.config import Config
from impls.common.config_files import load_config
from impls.common.errors import UserError

FLOW_MATCHING = "flow matching"
UNGUIDED = {"method.guidance_eq": "none"}
FORMS: dict[str, dict[str, Any]] = {
    FLOW_MATCHING: {"method.data_proportion": 1.0, "method.equal_rows": "first", **UNGUIDED},
    "unguided sparse": UNGUIDED | {"method.jvp": "sparse"},
    "unguided dense": UNGUIDED | {"method.jvp": "dense"},
    "unguided autodiff": UNGUIDED | {"method.jvp": "autodiff"},
    "guided sparse": {"method.jvp": "sparse"},
    "guided dense": {"method.jvp": "dense"},
    "guided autodiff": {"method.jvp": "autodiff"},
}
# Default configuration of the benches: the official one with a small network.
DEFAULT_SOURCE = "mf_b4"
DEFAULT = {"model.cls": "DiT_S_4", "training.batch_size": 32}


def configuration(
    source: str | None, overrides: dict[str, Any], form: str = "guided sparse"
) -> Config:
    """Configuration of a preset or file, by default that of the benches, in one of the forms."""
    default = DEFAULT if source is None else {}
    return load_config(source or DEFAULT_SOURCE, default | overrides | FORMS[form])


def forms(framework: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
    """Forms that differ in a framework, or the given ones, flow matching first.

    In JAX the dense form is autodiff.

    Raises:
        UserError: for a form that does not exist.
    """
    for name in wanted:
        if name not in FORMS:
            raise UserError(f"--forms has {name}, expected one of {', '.join(FORMS)}")
    chosen = {FLOW_MATCHING, *wanted} if wanted else set(FORMS)
    differing = [name for name in FORMS if framework != "jax" or "autodiff" not in name]
    return tuple(name for name in differing if name in chosen)
