"""Steps compiled for TPUs: combinations, estimates, printed and recorded tables, and sentences."""

import math
import os

import pytest
from checkouts import STANDIN
from results_records import in_markdown, record, refused

from bench.chips import chip
from bench.tpu import steps as bench
from bench.tpu.compiler import CompilerError
from bench.tpu.roofline import calibrated, roofline, timed_steps
from impls.common.errors import DoesNotFitError, UserError
from impls.common.types import Cost
from meanflow_repro import main
from results.reading import read
from results.tabulate.write import ALL

SMALL = ["--model.cls=DiT_S_4", "--model.depth=1"]
FORMS = ["--forms", "guided sparse", "guided dense"]
compiled_table, accelerators_table = in_markdown(ALL["compiled"]), in_markdown(ALL["accelerators"])
default_table, chips_table = (
    in_markdown(ALL["compiled_default"]),
    in_markdown(ALL["compiled_chips"]),
)


def made_up(config, topology, official=None):
    """A cost that depends on all that a step is of; bfloat16 moves half the bytes."""
    rows = config.training.batch_size
    if rows > 40_000:
        raise DoesNotFitError("needs 99GiB of memory, more than the 30GiB available")
    if topology.startswith("v5e"):
        raise CompilerError("the TPU compiler failed (Check failed: x)")
    passes = {"dense": 2.0, "sparse": 1.5}[config.method.jvp] if config.method.kappa else 1.0
    half = 0.5 if config.training.precision == "bfloat16" else 1.0
    more = 1.1 if official else 1.0
    return Cost(1e9 * rows * passes, more * half * 1e9 * rows * passes, 1e6 * rows, 7.0, 1e5, 2e5)


class Compiler:
    """Stands in for the one that runs the TPU compiler."""

    asked = None  # topology, rows and precision of each call: a list, see the fixture

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def check(self, topology):
        if "3x5x7" in topology:
            raise UserError(f"the TPU compiler has no topology {topology}")

    def cost(self, config, topology, official=None):
        training = config.training
        self.asked.append((topology, training.batch_size, training.precision))
        return made_up(config, topology, official)


@pytest.fixture
def compiler(monkeypatch):
    pytest.importorskip("jax")
    monkeypatch.setattr(bench, "Compiler", Compiler)
    monkeypatch.setattr("bench.tpu.compiler.num_attached", lambda: 0)
    monkeypatch.setattr(Compiler, "asked", [])
    return Compiler


def numbers(folder):
    """Recorded values by form, precision and quantity."""
    return {
        (str(r.settings["of"]), r.settings.get("precision"), r.what.removeprefix("bench/")): r.value
        for r in read(folder)
    }


# The estimate


def test_the_roofline_is_the_longer_of_arithmetic_and_memory():
    v4 = chip("v4")
    assert roofline(Cost(275e12, 1.0, 1, 1), v4, "bfloat16") == pytest.approx(1)
    assert roofline(Cost(275e12, 1.0, 1, 1), v4, "float32") == pytest.approx(1)
    assert roofline(Cost(1.0, 2.4e12, 1, 1), v4, "float32") == pytest.approx(2)


def test_the_calibration_gives_the_papers_times_and_says_how_well():
    flow_matching, meanflow = sorted(timed_steps(), key=lambda step: step.seconds)
    assert (flow_matching.seconds, meanflow.seconds) == (0.045, 0.052)
    assert meanflow.config.training.batch_size == 64  # 256 on the four chips of a v4-8
    assert meanflow.config.model.cls == "DiT_B_4"
    assert meanflow.config.method.guidance_eq == "none"
    assert flow_matching.config.method.data_proportion == 1

    def cost(config):
        seconds = 0.045 if config.method.data_proportion == 1 else 2 * 0.052
        return Cost(1.0, 2 * 1.2e12 * seconds, 1, 1)

    factor, error = calibrated(cost)
    assert factor == pytest.approx(0.5 / math.sqrt(2))
    assert error == pytest.approx(math.sqrt(2) - 1)


# The command


def test_the_default_set_is_the_five_forms_in_both_precisions(compiler, tmp_path, capsys):
    assert main(["bench", "tpu", "--record", str(tmp_path)]) == 0
    found = numbers(tmp_path)
    forms = {of for of, _, _ in found} - {"calibration"}
    assert forms == {"flow matching", "unguided sparse", "unguided dense", "guided sparse",
                     "guided dense"}  # fmt: skip
    assert compiler.asked[2:] == [("v4:2x2x1", 32, p) for p in ("float32", "bfloat16")
                                  for _ in forms]  # fmt: skip
    out = capsys.readouterr().out
    assert out.count("DiT_B_4, batch 32") == 2
    assert "est. ms is an estimate and was not measured" in out
    assert all(len(line) <= 80 for line in out.splitlines() if "records" not in line)


def test_what_is_asked_for_is_compiled_in_all_combinations(compiler, capsys):
    sizes = ["--batch-sizes", "8", "16", "--precisions", "bfloat16", "--models", "DiT_XL_2"]
    assert main(["bench", "tpu", "--chips", "v4", "v6e", *sizes, "--forms", "flow matching"]) == 0
    assert compiler.asked[2:] == [
        (topology, rows, "bfloat16") for topology in ("v4:2x2x1", "v6e:2x2x1") for rows in (8, 16)
    ]
    assert "DiT_XL_2, batch 16, bfloat16, one device of v6e:2x2x1" in capsys.readouterr().out


def test_records_say_what_was_compiled_for_what(compiler, tmp_path):
    options = [*SMALL, *FORMS, "--precisions", "float32", "--chips", "v4:2x2x2"]
    main(["bench", "tpu", *options, "--record", str(tmp_path)])
    (flops,) = (
        r for r in read(tmp_path)
        if (r.what, r.settings["of"]) == ("bench/step_flops", "guided sparse")
    )  # fmt: skip
    assert flops.subject == "impls.meanflow_jax"
    assert flops.device == "v4, compiled, not run"
    assert flops.settings == {
        "of": "guided sparse", "model": "DiT_S_4", "batch_size": 32, "precision": "float32",
        "chip": "v4", "compiled_for": "v4:2x2x2",
    }  # fmt: skip
    assert (flops.value, flops.dtype) == (48e9, "float32")
    found = numbers(tmp_path)
    factor = found["calibration", None, "roofline_factor"]
    seconds = found["guided sparse", "float32", "estimated_seconds"]
    assert seconds == pytest.approx(factor * 48e9 / 1.2e12)


def test_the_authors_step_is_compiled_in_float32(compiler, tmp_path):
    options = [*SMALL, *FORMS, f"--against=official={STANDIN}", "--record", str(tmp_path)]
    main(["bench", "tpu", *options])
    theirs = [r for r in read(tmp_path) if r.subject == "external:official"]
    assert {(r.settings["of"], r.dtype) for r in theirs} == {("guided official", "float32")}


def test_a_step_that_fails_has_a_line_and_the_others_go_on(compiler, tmp_path, capsys):
    sizes = ["--batch-sizes", "32", "65536", "--precisions", "float32"]
    assert main(["bench", "tpu", *SMALL, *sizes, "--record", str(tmp_path)]) == 0
    assert "flow matching: needs 99GiB of memory" in capsys.readouterr().out
    failed = [r for r in read(tmp_path) if r.value is None]
    assert {r.settings["batch_size"] for r in failed} == {65536}
    assert {r.detail for r in failed} == {"needs 99GiB of memory, more than the 30GiB available"}


def test_the_largest_batch_is_one_that_was_compiled(compiler, tmp_path, capsys):
    options = [*SMALL, "--forms", "flow matching", "--precisions", "float32", "--largest-batch"]
    main(["bench", "tpu", *options, "--record", str(tmp_path)])
    most = numbers(tmp_path)["flow matching", "float32", "largest_batch_size"]
    assert 0.9 * 34_360 < most <= 34_360  # a megabyte a row
    assert ("v4:2x2x1", most, "float32") in compiler.asked
    assert f"largest batch, flow matching, v4:2x2x1, DiT_S_4, float32: {most:.0f}" in (
        capsys.readouterr().out
    )


def test_the_largest_batch_is_of_the_forms_asked_for(compiler, tmp_path):
    options = [*SMALL, "--forms", "guided sparse", "--precisions", "float32", "--largest-batch"]
    main(["bench", "tpu", *options, "--record", str(tmp_path)])
    of = {form for form, _, what in numbers(tmp_path) if what == "largest_batch_size"}
    assert of == {"guided sparse"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--chips", "v9"], "chip v9 is unknown"),
        (["--chips", "h100"], "--chips has h100, which no TPU compiler is for"),
        (["--chips", "v4", "v4:3x5x7"], "no topology v4:3x5x7"),
        (["--against", "official=/nowhere"], "/nowhere has no meanflow.py"),
        (["--chips", "v5e"], "on v5e:2x2x1: the TPU compiler failed"),
        (["--batch-sizes", "65536"], "needs 99GiB of memory, more than"),
        (["--device", "tpu"], "no such device here"),
        (["--device", "cuda"], "expected auto, tpu or cpu"),
        (["--framework", "torch"], "the bench tpu is for --framework jax"),
        (["--forms", "sparse"], "--forms has sparse"),
        (["--models", "DiT_Q"], "DiT_Q"),
    ],
)
def test_what_a_user_gets_wrong_is_said_in_one_sentence(compiler, options, says, capsys):
    assert says in refused(capsys, "bench", "tpu", *options)


def test_other_benches_need_a_framework(capsys):
    assert "--framework is missing" in refused(capsys, "bench", "throughput")


def test_on_an_attached_tpu_the_steps_are_timed_beside_the_papers(monkeypatch, capsys):
    jax = pytest.importorskip("impls.meanflow_jax")
    chosen = []
    monkeypatch.setenv("JAX_DEFAULT_MATMUL_PRECISION", "highest")
    monkeypatch.setattr("bench.tpu.compiler.num_attached", lambda: 4)
    monkeypatch.setattr(jax, "select_device", chosen.append)
    options = ["--config=digits", "--model.cls=DiT", "--model.depth=1", "--training.batch-size=4"]
    assert main(["bench", "tpu", *options, "--rounds=1", "--forms", "unguided sparse"]) == 0
    assert os.environ["JAX_DEFAULT_MATMUL_PRECISION"] == "default"
    assert set(chosen) == {"tpu"}
    out = capsys.readouterr().out
    assert "unguided sparse" in out
    assert "64 rows on each of the 4 chips of a v4-8: MeanFlow 0.052 s, flow matching 0.045" in (
        " ".join(out.split())
    )


# The table of the records

SETTINGS = {"model": "DiT_B_4", "batch_size": 32, "precision": "float32", "chip": "v4",
            "compiled_for": "v4:2x2x1"}  # fmt: skip
ON_V4 = {"machine": {"processor": "x", "device": "v4, compiled, not run"}, "interval": None}


def compiled(what, of, value, **changes):
    settings = {**SETTINGS, "of": of}
    return record(what=f"bench/{what}", value=value, settings=settings, **ON_V4, **changes)


def test_the_table_has_counts_ratios_and_what_does_not_fit():
    table = compiled_table([
        compiled("step_flops", "flow matching", 1000e9),
        compiled("step_flops", "guided sparse", 1500e9),
        compiled("step_bytes_accessed", "guided sparse", 60e9),
        compiled("peak_bytes", "guided dense", None, detail="needs 40GiB"),
        compiled("step_flops", "guided official", 2000e9, subject="external:official"),
        record(what="bench/roofline_factor", value=0.8, settings={"of": "calibration"}, **ON_V4),
        record(what="bench/roofline_error", value=0.05, settings={"of": "calibration"}, **ON_V4),
        compiled("step_flops", "guided sparse", 1600e9),
    ])  # fmt: skip
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    steps = {row[1].partition(",")[0]: row[2:] for row in rows if row[0] == "v4:2x2x1"}
    assert steps["flow matching"][0] == "1000"
    assert steps["guided step"][:2] == ["1600 (1.60)", "60.0"]
    assert steps["the same with the JVP in every row"][3] == "needs 40GiB"
    assert steps["the authors' guided step"][0] == "2000 (2.00)"
    assert "not run" in table
    assert "times 0.80, which is fitted" in table
    assert "a relative error of 0.050" in table


XL = {"settings": {**SETTINGS, "model": "DiT_XL_2"}}
V5E = {"settings": {**SETTINGS, "chip": "v5e", "compiled_for": "v5e:2x2x1"}}


def with_of(changed, of, without=()):
    """Settings of a record of a step, changed, some of them left out."""
    found = {**changed["settings"], "of": of}
    return {name: value for name, value in found.items() if name not in without}


def step(what, of, value, changed, without=(), **more):
    settings = with_of(changed, of, without)
    return record(what=f"bench/{what}", value=value, settings=settings, **ON_V4, **more)


def test_the_default_set_has_a_table_of_its_own():
    table = default_table([
        compiled("step_flops", "flow matching", 1000e9),
        step("step_flops", "flow matching", 7000e9, XL),
        step("step_flops", "flow matching", 3000e9, V5E),
    ])  # fmt: skip
    assert "1000" in table
    assert "7000" not in table
    assert "3000" not in table


def test_the_table_by_chip_has_time_memory_what_does_not_fit_and_the_largest_batch():
    small = {"settings": SETTINGS}
    table = chips_table([
        *(step("step_flops", "guided sparse", flops, of)
          for flops, of in ((9e12, XL), (1e12, small))),
        *(step("estimated_seconds", "guided sparse", 0.0246, of) for of in (small, XL)),
        *(step("peak_bytes", "guided sparse", 2.95e9, of) for of in (small, XL)),
        step("peak_bytes", "guided sparse", None, V5E,
             detail="needs 40.2GiB of memory, more than the 15.75GiB available"),
        step("largest_batch_size", "guided sparse", 400.0, small, without=("batch_size",)),
        step("largest_batch_size", "guided sparse", 96.0, V5E, without=("batch_size",)),
        step("estimated_seconds", "guided dense", 1.0, small),
    ])  # fmt: skip
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert rows[0] == ["one step", "v4:2x2x1", "v5e:2x2x1"]
    assert rows[2:4] == [
        ["DiT_B_4 batch 32, float32, guided step", "24.6 ms, 3.0 GB (400 rows)",
         "needs 40.2GiB (96 rows)"],
        ["DiT_XL_2 batch 32, float32, guided step", "24.6 ms, 3.0 GB", ""],
    ]  # fmt: skip
    assert "no measurement" in table
    assert "not measured" in chips_table([])


def test_nothing_compiled_stands_among_what_was_measured():
    table = accelerators_table([compiled("peak_bytes", "guided sparse", 3e9)])
    assert "not run" not in table
    assert "not measured" in compiled_table([])
