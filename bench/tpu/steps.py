"""Training steps on TPUs: timed where one is attached, else compiled ahead of time and counted.

Compiled steps are the trainer's own, for one device of a named topology. FLOPs, bytes and memory
are the compiler's; seconds are roofline estimates (bench/tpu/roofline.py), never measurements.
"""

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

from bench.chips import Chip, all_chips, chip, machine
from bench.forms import FLOW_MATCHING, configuration, forms
from bench.jvp_overhead import OFFICIAL, jvp_overhead
from bench.measurement import About, Compiled, Measured, Run
from bench.tpu.compiler import Compiler, CompilerError
from bench.tpu.largest_batch import largest_batch
from bench.tpu.roofline import SLICE, Calibration, calibrated, roofline, timed_steps
from impls.common.config import Config
from impls.common.errors import DoesNotFitError, UserError
from impls.common.types import Cost
from results.schema import Settings
from verify.official.checkout import CheckoutError, refuse_others

MODEL, CHIPS, PRECISIONS = "DiT_B_4", ("v4",), ("float32", "bfloat16")
OFFICIAL_SUBJECT = "external:official"
NOT_RUN = "compiled, not run"
CALIBRATION = "calibration"


class Program(NamedTuple):
    """Training step to compile, and the chip that it is for."""

    of: str  # form of the step
    config: Config
    chip: Chip
    topology: str
    official: Path | None = None  # checkout of the authors' code, whose step it is

    def __str__(self) -> str:
        training = self.config.training
        where = f"{self.config.model.cls}, batch {training.batch_size}, {training.precision}"
        return f"{self.of}, {where}, on {self.topology}"

    @property
    def settings(self) -> Settings:
        """Settings of a record that its cost depends on."""
        training = self.config.training
        return {
            "model": self.config.model.cls,
            "batch_size": training.batch_size,
            "precision": training.precision,
            "chip": self.chip.name,
            "compiled_for": self.topology,
        }

    @property
    def about(self) -> About:
        """Subject and device of a record."""
        subject = OFFICIAL_SUBJECT if self.official else None
        return About(subject, f"{self.chip.name}, {NOT_RUN}")


def tpu(run: Run) -> Measured:
    """Costs of compiled steps, or timing of the steps where `run` has no settings of compilation.

    Raises:
        UserError: for an unknown chip or form, without libtpu, or if nothing could be compiled.
    """
    if run.compiled is None:
        return _timed(run)
    _refuse_other_checkouts(run.official)
    todo, found, failures = list(programs(run, run.compiled)), Measured("tpu", run), []
    with Compiler() as compiler:
        for topology in dict.fromkeys(program.topology for program in todo):
            compiler.check(topology)
        calibration = _calibration(run, compiler)
        for program in todo:
            run.report(f"compiling {program}")
            try:
                cost = compiler.cost(program.config, program.topology, program.official)
            except (DoesNotFitError, CompilerError) as error:
                failures.append(f"{program}: {error}")
                _add(found, program, detail=str(error))
            else:
                _add(found, program, cost, calibration)
        if run.compiled.largest_batch:
            _add_largest(found, todo, compiler)
    if len(failures) == len(todo):
        raise UserError(failures[0])
    _add_calibration(found, calibration)
    return found


def _refuse_other_checkouts(official: Path | None) -> None:
    """Raise UserError for a folder that is not a checkout of the authors' code."""
    try:
        if official:
            refuse_others(official)
    except CheckoutError as error:
        raise UserError(f"--against official=PATH: {error}") from error


def programs(run: Run, compiled: Compiled) -> Iterator[Program]:
    """Steps to compile: chips, models, batches, precisions and forms in all combinations.

    Raises:
        UserError: for an unknown chip, model or form.
    """
    base = _base(run)
    configured = base.training.precision
    chosen = "training.precision" in run.overrides or configured != "float32"
    precisions = compiled.precisions or ((configured,) if chosen else PRECISIONS)
    for (of, topology), model, rows, precision in product(
        map(_topology, compiled.chips or CHIPS),
        run.models or [base.model.cls],
        run.batch_sizes or [base.training.batch_size],
        precisions,
    ):
        sizes = {"model__cls": model, "training__batch_size": rows}
        for form in forms(run.framework, run.forms):
            config = run.config(form, training__precision=precision, **sizes)
            yield Program(form, config, of, topology)
        if run.official and precision == "float32":  # theirs has no other
            config = run.config("guided dense", **sizes)
            yield Program(OFFICIAL, config, of, topology, run.official)


def _base(run: Run) -> Config:
    """Configuration that names what no option does; without --config, that of the paper's times."""
    default = {} if run.source else {"model.cls": MODEL}
    return configuration(run.source, default | run.overrides)


def _topology(name: str) -> tuple[Chip, str]:
    """Chip and topology of v4, or of a topology such as v4:2x2x2."""
    kind, _, shape = name.partition(":")
    found = chip(kind)
    if found.topology is None:
        known = ", ".join(name for name, chip in all_chips().items() if chip.topology)
        raise UserError(f"--chips has {name}, which no TPU compiler is for: expected {known}")
    return found, name if shape else found.topology


def _calibration(run: Run, compiler: Compiler) -> Calibration | None:
    """Calibration of the estimates; None if the steps that it needs cannot be compiled."""
    topology = machine(SLICE).chip.topology
    assert topology

    def cost(config: Config) -> Cost:
        run.report(f"compiling the paper's step, batch {config.training.batch_size}")
        return compiler.cost(config, topology)

    try:
        return calibrated(cost)
    except (DoesNotFitError, CompilerError):
        return None


def _add(
    found: Measured,
    program: Program,
    cost: Cost | None = None,
    calibration: Calibration | None = None,
    detail: str = "",
) -> None:
    """Add the quantities of a compiled step; of one that failed, peak_bytes without a value."""
    of, config, settings = program.of, program.config, program.settings
    if cost is None:
        found.add(of, config, settings, program.about._replace(detail=detail), peak_bytes=None)
        return
    found.add(
        of,
        config,
        settings,
        program.about,
        step_flops=cost.flops,
        step_bytes_accessed=cost.bytes_accessed,
        argument_bytes=cost.argument_bytes,
        temporary_bytes=cost.temporary_bytes,
        peak_bytes=cost.peak_bytes,
        compile_seconds=cost.compile_seconds,
    )
    if calibration:
        seconds = calibration.factor * roofline(cost, program.chip, config.training.precision)
        found.add(of, config, settings, program.about, estimated_seconds=seconds)


def _add_largest(found: Measured, todo: list[Program], compiler: Compiler) -> None:
    """Add the largest batch that fits, from the smallest of the given batches.

    Of each form, but not of flow matching where it only stands beside the forms asked for.
    """
    smallest, wanted = min(program.config.training.batch_size for program in todo), found.run.forms
    for program in todo:
        asked_for = program.of != FLOW_MATCHING or not wanted or FLOW_MATCHING in wanted
        if asked_for and program.config.training.batch_size == smallest:
            found.run.report(f"largest batch of {program}")
            about, most = program.about, None
            try:
                most = largest_batch(_by_rows(program, compiler), program.chip.memory, smallest)
            except (DoesNotFitError, CompilerError) as error:
                about = about._replace(detail=str(error))
            settings = {k: v for k, v in program.settings.items() if k != "batch_size"}
            found.add(program.of, program.config, settings, about, largest_batch_size=most)


def _by_rows(program: Program, compiler: Compiler) -> Callable[[int], Cost]:
    """Cost of a step by the number of rows of its batch."""

    def cost(rows: int) -> Cost:
        training = program.config.training.model_copy(update={"batch_size": rows})
        config = program.config.model_copy(update={"training": training})
        return compiler.cost(config, program.topology, program.official)

    return cost


def _add_calibration(found: Measured, calibration: Calibration | None) -> None:
    """Add the factor of the estimates, and the error with which they give the paper's times."""
    if calibration:
        config, name = timed_steps()[0].config, machine(SLICE).chip.name
        settings: Settings = {"chip": name, "model": config.model.cls}
        about = About(device=f"{name}, {NOT_RUN}")
        factor, error = calibration
        found.add(
            CALIBRATION, config, settings, about, roofline_factor=factor, roofline_error=error
        )


def _timed(run: Run) -> Measured:
    """JVP overhead on the attached TPU, by default of the paper's network and batch."""
    run.subject.select_device("tpu")
    step = timed_steps()[0].config
    sizes = {"model.cls": MODEL, "training.batch_size": step.training.batch_size}
    default = {} if run.source else sizes
    found = jvp_overhead(run._replace(overrides=default | run.overrides))
    found.name = "tpu"
    return found
