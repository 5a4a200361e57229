"""JVP overhead by number of tokens, as attention takes a larger share of the step."""

from bench.forms import FLOW_MATCHING
from bench.measurement import Measured, Run
from bench.steps import Step, add_step, step_settings
from bench.timer import interleave, ratio

PATCH_SIZES = (8, 4, 2)  # of the official networks: 16, 64 and 256 tokens of 32 x 32 latents
SPARSE = "unguided sparse"


def attention(run: Run) -> Measured:
    """JVP overhead by patch size: unguided sparse step / flow-matching step."""
    found = Measured("attention", run)
    for patch_size in PATCH_SIZES:
        config = run.config(SPARSE, model__patch_size=patch_size)
        num_tokens = (config.network.input_size // patch_size) ** 2
        run.report(f"{num_tokens} tokens")
        steps = {
            form: Step(run.subject, run.config(form, model__patch_size=patch_size))
            for form in (FLOW_MATCHING, SPARSE)
        }
        times = interleave(steps, run.num_rounds)
        for form, step in steps.items():
            of = f"{num_tokens} tokens, {form}"
            found.times[of] = times[form]
            add_step(found, of, step, times[form], num_tokens=num_tokens)
        found.add(
            f"{num_tokens} tokens, {SPARSE} / {FLOW_MATCHING}",
            config,
            step_settings(found, config, num_tokens=num_tokens),
            step_time_ratio=ratio(times[SPARSE], times[FLOW_MATCHING]),
        )
    return found
