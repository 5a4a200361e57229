"""How the overhead of the JVP grows with the number of tokens, where attention weighs more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.forms import FLOW_MATCHING, configuration
from bench.measurement import Measured, Quantity, Settings
from bench.steps import Step, about, step_quantities
from bench.timer import interleave, ratio

PATCH_SIZES = (8, 4, 2)  # of the official networks: 16, 64 and 256 tokens of 32 x 32 latents
SPARSE = "unguided sparse"


def attention(
    subject: Any,
    source: str | None,
    overrides: dict[str, Any],
    num_rounds: int,
    report: Callable[[str], None],
) -> Measured:
    """Unguided sparse step / flow-matching step, for each patch size of the network."""
    found = Measured(subject.__name__, subject.device_name(), "attention")
    for patch_size in PATCH_SIZES:
        given = overrides | {"model.patch_size": patch_size}
        configs = {form: configuration(source, given, form) for form in (FLOW_MATCHING, SPARSE)}
        num_tokens = (configs[SPARSE].network.input_size // patch_size) ** 2
        settings: Settings = {"num_tokens": num_tokens, "num_rounds": num_rounds}
        report(f"{num_tokens} tokens")
        steps = {form: Step(subject, config) for form, config in configs.items()}
        times = interleave(steps, num_rounds)
        for form, config in configs.items():
            of = f"{num_tokens} tokens, {form}"
            found.times[of] = times[form]
            cost = steps[form].cost
            found.quantities += step_quantities(of, config, cost, times[form], settings)
        of = f"{num_tokens} tokens, {SPARSE} / {FLOW_MATCHING}"
        found.quantities.append(
            Quantity(
                "step_time_ratio",
                of,
                ratio(times[SPARSE], times[FLOW_MATCHING]),
                "1",
                configs[SPARSE],
                about(configs[SPARSE]) | settings,
            )
        )
    return found
