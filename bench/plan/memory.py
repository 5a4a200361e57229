"""Memory of a training step on one device: estimated from shapes, or as XLA compiled it."""

from collections.abc import Sequence
from typing import NamedTuple

from bench.chips import Chip
from bench.forms import FLOW_MATCHING, FORMS
from bench.plan.work import FLOAT32, dit_sizes, num_tokens
from impls.common.config import Config
from impls.common.parameters import num_parameters
from results.schema import Record


class Memory(NamedTuple):
    """Bytes of a step on one device."""

    state: float  # parameters, two moments, averages, float32
    gradient: float
    activations: float  # kept for the backward pass
    compiled: float | None = None  # peak that XLA's compiler reports for this step

    @property
    def peak(self) -> float:
        """Peak: compiled, else the sum of the parts."""
        return self.compiled or self.state + self.gradient + self.activations


def estimated_memory(config: Config, num_rows: int) -> Memory:
    """Memory of a data-parallel step: every device holds the whole state.

    Activations are what the backward pass reads: the inputs of the two LayerNorms, of every linear
    layer and of GELU, with q, k, v and the attention probabilities. A compiler may compute some of
    them again instead, or keep more.

    Args:
        num_rows: rows of one part of the batch.
    """
    size = dit_sizes(config.network)
    tokens, width = num_tokens(size), size.hidden_size
    hidden = int(width * size.mlp_ratio)
    kept = 2 * width + width + 3 * width + width + width + 2 * hidden
    row = size.depth * (tokens * kept + size.num_heads * tokens**2)
    item = 2 if config.training.precision == "bfloat16" else FLOAT32
    doubled = 2 if config.method.tangent_gradient else 1  # tangents are kept too
    parameters = FLOAT32 * num_parameters(config.network)
    num_arrays = 4 + len(config.training.ema_more)
    return Memory(num_arrays * parameters, parameters, doubled * item * num_rows * row)


def step_memory(
    config: Config, chip: Chip, num_rows: int, num_parts: int, records: Sequence[Record]
) -> Memory:
    """Memory of a step: estimated, with the peak of the newest record of the compiled step.

    Args:
        num_rows: rows of each part on a device.
        num_parts: parts on a device, one after another; compiled steps have one.
    """
    settings = {
        "chip": chip.name,
        "of": form_of(config),
        "model": config.model.cls,
        "batch_size": num_rows,
    }
    peak = None
    for record in records if num_parts == 1 else ():
        if (
            record.what == "bench/peak_bytes"
            and record.dtype == config.training.precision
            and settings.items() <= record.settings.items()
        ):
            peak = record.value
    return estimated_memory(config, num_rows)._replace(compiled=peak)


def form_of(config: Config) -> str | None:
    """Form of the step that a configuration has, by its name in `bench.forms`.

    None for a step that the forms do not have: guidance without kappa, other losses.
    """
    method = config.method
    guided = method.guidance_eq != "none"
    if method.tangent_velocity == "network" or method.tangent_gradient:
        return None
    if guided and not method.kappa:
        return None
    if not guided and method.data_proportion == 1:
        return FLOW_MATCHING
    name = f"{'guided' if guided else 'unguided'} {method.jvp}"
    return name if name in FORMS else None
