"""JVP overhead: cost of a MeanFlow step over flow matching, and of sparse over dense JVPs."""

from typing import Any

from bench.forms import FLOW_MATCHING, forms
from bench.measurement import Measured, Run
from bench.steps import Step, add_step, step_settings
from bench.timer import interleave, ratio
from impls.common.errors import UserError

OFFICIAL = "guided official"
PAPER = 1.16  # MeanFlow / flow matching without guidance, B/4 on TPU v4-8: arXiv 2505.13447, B.4


def jvp_overhead(run: Run) -> Measured:
    """Interleaved timing of every form of the step, with ratios of times, FLOPs and memory."""
    found = Measured("jvp-overhead", run)
    chosen, official = forms(run.framework, run.forms), _official(run)
    steps: dict[str, Any] = {}
    for form in chosen:
        run.report(f"compiling {form}")
        steps[form] = Step(run.subject, run.config(form))
    steps |= official
    run.report(f"timing {len(steps)} steps in {run.num_rounds} rounds")
    found.times = interleave(steps, run.num_rounds)
    for form, step in steps.items():
        add_step(found, form, step, found.times[form])
        for base in _bases(form, steps):
            found.add(
                f"{form} / {base}",
                step.config,
                step_settings(found, step.config),
                step_time_ratio=ratio(found.times[form], found.times[base]),
                step_flops_ratio=step.cost.flops / steps[base].cost.flops,
            )
    return found


def _bases(form: str, steps: dict[str, Any]) -> list[str]:
    """Baselines of a form: plain flow matching, and the same form without sparsity."""
    others = [FLOW_MATCHING] if form != FLOW_MATCHING else []
    if form.endswith(" sparse"):
        guidance = form.removesuffix("sparse")
        others += [f"{guidance}{other}" for other in ("dense", "autodiff", "official")]
    return [other for other in others if other in steps]


def _official(run: Run) -> dict[str, Any]:
    """Training step of the authors' code, if a checkout is given."""
    if run.official is None:
        return {}
    if run.framework != "jax":
        raise UserError("--against official=PATH needs --framework jax: the official code is JAX")
    from bench.official_step import OfficialStep

    run.report("compiling the official step")
    return {OFFICIAL: OfficialStep(run.official, run.config("guided dense"))}
