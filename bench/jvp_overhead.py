"""What a MeanFlow step costs beside a plain flow-matching step, and the sparse beside the dense."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.forms import FLOW_MATCHING, configuration, forms
from bench.measurement import Measured, Quantity, Settings
from bench.steps import Step, about, step_quantities
from bench.timer import interleave, ratio
from impls.common.config import Config
from impls.common.errors import UserError

OFFICIAL = "guided official"
PAPER = 1.16  # MeanFlow / flow matching without guidance, B/4 on TPU v4-8: arXiv 2505.13447, B.4


def jvp_overhead(
    subject: Any,
    source: str | None,
    overrides: dict[str, Any],
    num_rounds: int,
    report: Callable[[str], None],
    framework: str,
    wanted: Sequence[str],
    official: Path | None,
) -> Measured:
    """Every form of the step in turns, with ratios of their times, FLOPs and memory.

    Args:
        report: is told what is being done.
        wanted: forms to time beside flow matching; none: all.
        official: checkout of the authors' code, whose step is timed in the same rounds.
    """
    found = Measured(subject.__name__, subject.device_name(), "jvp-overhead")
    steps: dict[str, Any] = {}
    configs: dict[str, Config] = {}
    chosen, theirs = forms(framework, wanted), None
    if official is not None:
        report("compiling the official step")
        configs[OFFICIAL] = configuration(source, overrides, "guided dense")
        theirs = _official(framework, official, configs[OFFICIAL])
    for form in chosen:
        report(f"compiling {form}")
        configs[form] = configuration(source, overrides, form)
        steps[form] = Step(subject, configs[form])
    if theirs is not None:
        steps[OFFICIAL] = theirs
    report(f"timing {len(steps)} steps in {num_rounds} rounds")
    found.times = interleave(steps, num_rounds)
    settings: Settings = {"num_rounds": num_rounds}
    for form, step in steps.items():
        config = configs[form]
        found.quantities += step_quantities(form, config, step.cost, found.times[form], settings)
        for base in _bases(form, steps):
            over = about(config) | settings
            time_ratio = ratio(found.times[form], found.times[base])
            flops = step.cost.flops / steps[base].cost.flops
            found.quantities += [
                Quantity("step_time_ratio", f"{form} / {base}", time_ratio, "1", config, over),
                Quantity("step_flops_ratio", f"{form} / {base}", flops, "1", config, over),
            ]
    return found


def _bases(form: str, steps: dict[str, Any]) -> list[str]:
    """What a form is held against: plain flow matching, and the same without sparsity."""
    others = [FLOW_MATCHING] if form != FLOW_MATCHING else []
    if form.endswith(" sparse"):
        guidance = form.removesuffix("sparse")
        others += [f"{guidance}{other}" for other in ("dense", "autodiff", "official")]
    return [other for other in others if other in steps]


def _official(framework: str, checkout: Path, config: Config) -> Any:
    if framework != "jax":
        raise UserError("--against official=PATH needs --framework jax: the official code is JAX")
    from bench.official_step import OfficialStep

    return OfficialStep(checkout, config)
