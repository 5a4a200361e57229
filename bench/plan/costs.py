"""Plan of a training run on a machine: time, memory, storage and price, all of them estimates."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from bench.chips import Machine, Precision
from bench.plan.calibration import at_peak, default_products, largest_error, utilisation
from bench.plan.memory import Memory, step_memory
from bench.plan.work import num_equal_rows, step_work
from impls.common.config import Config
from impls.common.errors import UserError
from impls.trainer.train import num_training_steps
from results.external import SCORED
from results.schema import Record

HOUR = 3600.0  # seconds
LATENTS = "imgnet_latent"


class Plan(NamedTuple):
    """Estimates of a training run."""

    name: str  # of the configuration
    config: Config
    machine: Machine
    products: Precision
    num_rows: int  # of each part of a batch on a device
    num_parts: int  # on a device
    num_steps: int
    step_seconds: float
    error: float  # largest factor of published step times of this kind, leave one out
    memory: Memory
    price_per_chip_hour: float | None

    @property
    def hours(self) -> float:
        """Hours of training, without compilation, samples and scores."""
        return self.num_steps * self.step_seconds / HOUR

    @property
    def chip_hours(self) -> float:
        """Hours of all chips together."""
        return self.hours * self.machine.num_chips

    @property
    def price(self) -> float | None:
        """Price in the currency of the price per chip-hour."""
        return (
            None if self.price_per_chip_hour is None else self.chip_hours * self.price_per_chip_hour
        )

    @property
    def device_memory(self) -> float:
        """Bytes that a device has."""
        return self.machine.chip.memory / self.machine.chip.num_devices

    @property
    def fits(self) -> bool:
        """True if the step's peak is within the memory of a device."""
        return self.memory.peak <= self.device_memory

    @property
    def unequal(self) -> str:
        """Sentence on a share of rows with r = t that is not the configured one, or nothing."""
        method, rows = self.config.method, self.num_rows
        equal = num_equal_rows(self.config, rows)
        if method.equal_rows != "first" or equal == rows * method.data_proportion:
            return ""
        return (
            f"in parts of {rows}, int({rows} x {method.data_proportion:g}) = {equal} have r = t,"
            f" {equal / rows:.0%} of the batch: not the configured run"
        )

    @property
    def checkpoint_bytes(self) -> float:
        """Bytes of a checkpoint: parameters, moments, averages."""
        return self.memory.state

    @property
    def example_bytes(self) -> int:
        """Bytes of a stored example: mean and deviation of a latent, float32; or pixels, uint8."""
        data = self.config.dataset
        scalars = data.image_size**2 * data.image_channels
        return 8 * scalars if data.kind == LATENTS else scalars

    @property
    def data_bytes(self) -> float:
        """Bytes of the prepared training set."""
        return num_examples(self.config) * self.example_bytes

    @property
    def data_rate(self) -> float:
        """Bytes per second that the loader must sustain."""
        return self.config.training.batch_size * self.example_bytes / self.step_seconds


def num_examples(config: Config) -> int:
    """Number of images of the training set.

    Raises:
        UserError: for a data set whose size is not known without its files.
    """
    kind = config.dataset.kind
    if kind not in SCORED:
        known = " or ".join(SCORED)
        raise UserError(f"dataset.name is {kind}, expected {known}: others need no plan")
    return SCORED[kind]


def make_plan(
    name: str,
    config: Config,
    on: Machine,
    products: Precision | None = None,
    price_per_chip_hour: float | None = None,
    records: Sequence[Record] = (),
) -> Plan:
    """Plan of a data-parallel run of a configuration on a machine.

    A batch has P equal parts, P being the least common multiple of training.num_microbatches and
    the number of devices; each device takes its parts one after another.

    Args:
        name: of the configuration, for messages.
        products: precision of matrix products in float32; see `default_products`.
        records: of compiled steps, for their memory.

    Raises:
        UserError: for a batch that the devices do not divide, a network or a data set that is not
            counted, or products of a precision that the chip or the configuration does not have.
    """
    chip, training = on.chip, config.training
    num_devices = on.num_chips * chip.num_devices
    num_parts = math.lcm(training.num_microbatches, num_devices)
    num_rows, rest = divmod(training.batch_size, num_parts)
    if rest:
        raise UserError(
            f"{on.name} has {num_devices} devices, which do not divide training.batch_size"
            f" {training.batch_size} into {num_parts} equal parts: choose a multiple of {num_parts}"
        )
    chosen = products or default_products(on, config)
    _check_products(config, on, chosen)
    parts = num_parts // num_devices
    work = step_work(config, num_rows, parts)
    return Plan(
        name,
        config,
        on,
        chosen,
        num_rows,
        parts,
        num_training_steps(config, num_examples(config)),
        at_peak(on, work, chosen) / utilisation(chip.kind),
        largest_error(chip.kind),
        step_memory(config, chip, num_rows, parts, records),
        price_per_chip_hour,
    )


def _check_products(config: Config, on: Machine, products: Precision) -> None:
    if products not in on.chip.peaks:
        known = " or ".join(on.chip.peaks)
        raise UserError(f"--products is {products}, expected {known} on {on.chip.title}")
    precision = config.training.precision
    if precision == "bfloat16" and products != "bfloat16":
        raise UserError(
            f"--products is {products}, but training.precision is bfloat16: leave out one of them"
        )


def check_fits(plans: Sequence[Plan]) -> None:
    """Raise UserError if no plan fits the memory of its devices."""
    if not any(plan.fits for plan in plans):
        least = min(plans, key=lambda plan: plan.memory.peak / plan.device_memory)
        raise UserError(
            f"{least.name} with {least.num_rows} rows at once needs"
            f" {least.memory.peak / 1e9:.1f} GB on each device, more than the"
            f" {least.device_memory / 1e9:.1f} GB of {least.machine.chip.title}: use more chips,"
            " smaller or more parts (training.num_microbatches), or training.precision bfloat16"
        )
