"""The trainer's own step on a GPU: time, throughput, JVP overhead, memory and MFU.

    MFU = FLOPs of the step's matrix products / (time * peak)

FLOPs are counted from the shapes of the network (bench/plan/work.py), the same for both frameworks.
The peak is the published one of the chip (bench/chips.yml) for dense products in bfloat16, or TF32
where training.precision is float32. Beside it stands that of a large product in the same rounds.
"""

import gc
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

from pytest_benchmark.stats import Stats

from bench.chips import Precision, chip_of_device
from bench.forms import FLOW_MATCHING, forms
from bench.gpu.device import STAND_IN, is_out_of_memory
from bench.measurement import SAME, About, Measured, Run
from bench.plan.work import dit_sizes, step_work
from bench.steps import Inputs, Products, Step, add_step, step_settings
from bench.timer import Estimate, interleave, rate, ratio
from impls.common.config import Config
from impls.common.errors import UserError
from results.schema import Settings

MODELS = ("DiT_B_4", "DiT_B_2", "DiT_M_2", "DiT_L_2", "DiT_XL_2")
FORMS = (FLOW_MATCHING, "unguided sparse", "guided sparse", "guided dense")
PRECISIONS = ("float32", "bfloat16")
PRODUCT_SIZE = 8192  # rows of the square matrices whose product defines the measured peak
PRODUCT = "matrix product"
OUT_OF_MEMORY = "out of memory"
WAYS = {"jax": ("auto",), "torch": ("never", "always")}  # training.compile to measure
WORDS = {"auto": "", "never": "eager", "always": "compiled"}


class Planned(NamedTuple):
    """Step to measure."""

    form: str
    config: Config

    @property
    def of(self) -> str:
        """Name among all steps of the bench."""
        model, training = self.config.model.cls, self.config.training
        where = f"{model} batch {training.batch_size}, {training.precision}"
        return ", ".join(filter(None, (self.form, where, WORDS[training.compile])))

    def settings(self, found: Measured) -> Settings:
        """Settings of a record that its time depends on."""
        return step_settings(found, self.config, **self.about(found.device))

    def about(self, device: str) -> dict[str, str]:
        """Form of the step, and its precision in memory and in matrix products."""
        precision = self.config.training.precision
        named = {"form": self.form, "precision": precision}
        return named | {"products": products(self.config, device)}


def gpu(run: Run) -> Measured:
    """Steps over networks, batch sizes and precisions; those of one such group in turns.

    A step that needs more memory than there is has a line that says so, and the others go on.

    Raises:
        UserError: for an unknown form, a network that is not counted, or if nothing fits.
    """
    todo, found = list(groups(run)), Measured("gpu", run)
    for group in todo:
        _measure_group(found, group)
        run.subject.clear_caches()
    if not found.times:
        raise UserError(f"{OUT_OF_MEMORY} at every step: give smaller --batch-sizes or --models")
    return found


def groups(run: Run) -> Iterator[list[Planned]]:
    """Steps to measure: models, batch sizes and precisions in all combinations, forms of each.

    Raises:
        UserError: for an unknown model or form, or a network that is not counted.
    """
    base = run.config()
    given = run.source or "model.cls" in run.overrides
    models = run.models or ([base.model.cls] if given else MODELS)
    low = "training.precision" in run.overrides or base.training.precision != "float32"
    precisions = run.precisions or ([base.training.precision] if low else PRECISIONS)
    chosen = "training.compile" in run.overrides or base.training.compile != "auto"
    ways = [base.training.compile] if chosen else WAYS[run.framework]
    sizes = run.batch_sizes or [base.training.batch_size]
    for model, rows, precision in product(models, sizes, precisions):
        changes = {
            "model__cls": model, "training__batch_size": rows, "training__precision": precision
        }  # fmt: skip
        group = [
            Planned(form, run.config(form, **changes, training__compile=way))
            for way, form in product(ways, forms(run.framework, run.forms or FORMS))
            if not (way == "always" and "autodiff" in form)  # which PyTorch does not compile
        ]
        dit_sizes(group[0].config.network)
        yield group


def products(config: Config, device: str) -> Precision:
    """Precision of matrix products: on a GPU TF32 for float32, as `meanflow bench` sets it."""
    if config.training.precision == "bfloat16":
        return "bfloat16"
    return "float32" if device == STAND_IN else "tf32"


def flops(config: Config) -> float:
    """FLOPs of the matrix products of a step."""
    num_parts = config.training.num_microbatches
    return step_work(config, config.training.batch_size // num_parts, num_parts).flops


def _measure_group(found: Measured, group: list[Planned]) -> None:
    """Add the steps of one network, batch size and precision, which share state and batch."""
    run, first = found.run, group[0].config
    ready: dict[str, Any] = {}
    times: dict[str, Stats] = {}
    try:
        inputs = Inputs(run.subject, first)
        for one in group:
            run.report(f"compiling {one.of}")
            if step := _fitting(run.subject, one.config, inputs):
                ready[one.of] = step
        peak = Products(run.subject, first, PRODUCT_SIZE)
        run.report(f"timing {len(ready)} steps in {run.num_rounds} rounds")
        times = interleave({**ready, PRODUCT: peak}, run.num_rounds) if ready else {}
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    for one in group:
        if one.of in times:
            found.times[one.of] = times[one.of]
            _add(found, one, ready[one.of], times, peak)
        else:
            about = About(detail=OUT_OF_MEMORY)
            found.add(one.of, one.config, one.settings(found), about, step_seconds=None)
    ready.clear()
    gc.collect()  # before the next group takes memory


def _fitting(subject: Any, config: Config, inputs: Inputs) -> Step | None:
    """Step that has run once; None if it needs more memory than there is."""
    try:
        step = Step(subject, config, inputs)
        step()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    else:
        return step
    gc.collect()  # what the error's traceback held
    inputs.renew()
    return None


def _add(
    found: Measured, one: Planned, step: Step, times: dict[str, Stats], peak: Products
) -> None:
    """Add the quantities of a step, relative to flow matching, to the product and to the chip."""
    work, settings, stats = flops(one.config), one.settings(found), times[one.of]
    chip = chip_of_device(found.device)
    about, published = About(detail=f"no published peak of {found.device} is known"), None
    if chip:
        about, reached = SAME, rate(work, stats)
        published = Estimate(
            *(value / chip.peak(products(one.config, found.device)) for value in reached)
        )
    shares = ratio(times[PRODUCT], stats)  # of the step's time, in each round
    add_step(found, one.of, step, stats, **one.about(found.device))
    found.add(
        one.of,
        one.config,
        settings,
        model_flops=work,
        matrix_product_flops_per_second=rate(peak.flops, times[PRODUCT]),
        measured_peak_mfu_ratio=Estimate(*(work / peak.flops * share for share in shares)),
    )
    found.add(one.of, one.config, settings, about, published_peak_mfu_ratio=published)
    base = one._replace(form=FLOW_MATCHING).of
    if one.form != FLOW_MATCHING and base in times:
        found.add(one.of, one.config, settings, step_time_ratio=ratio(stats, times[base]))
