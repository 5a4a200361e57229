"""`meanflow plan`: estimates of a run, and their tables in the manual."""

import re
from pathlib import Path

import pytest
from results_records import record, refused

from bench.chips import machine
from bench.plan.costs import make_plan
from bench.plan.memory import estimated_memory, form_of, step_memory
from bench.plan.tables import MACHINES, predicted, prices
from impls.common.config_files import load_config
from impls.common.parameters import num_parameters
from meanflow_repro import main
from results.reading import read
from results.tabulate.reproduction import ROWS

MANUAL = Path(__file__).parents[2] / "docs" / "bench.md"


def plan(preset="mf_xl2", on="v4-128", *, records=(), price=None, **changes):
    overrides = {key.replace("__", "."): value for key, value in changes.items()}
    config = load_config(preset, overrides)
    return make_plan(preset, config, machine(on), price_per_chip_hour=price, records=records)


def test_a_plan_adds_up():
    found = plan(price=2.0)
    assert found.num_steps == 240 * (1_281_167 // 256)
    assert found.hours == found.num_steps * found.step_seconds / 3600
    assert found.chip_hours == 64 * found.hours
    assert found.price == 2 * found.chip_hours
    assert (found.num_rows, found.num_parts) == (4, 1)
    assert found.checkpoint_bytes == 16 * num_parameters(found.config.network)
    assert found.example_bytes == 2 * 4 * 32 * 32 * 4  # mean and deviation, float32
    assert found.data_rate == 256 * found.example_bytes / found.step_seconds
    assert found.data_bytes == 1_281_167 * found.example_bytes
    assert plan().price is None


def test_time_falls_with_chips_but_not_below_that_of_the_state():
    times = [plan(on=f"v4-{2 * chips}").step_seconds for chips in (16, 32, 64, 128, 256)]
    assert times == sorted(times, reverse=True)
    assert times[0] / times[-1] < 16


def test_products_in_float32_take_longer_than_in_tf32_and_bfloat16():
    config = load_config("mf_b2")
    exact, tf32 = (make_plan("", config, machine("8xH100"), p) for p in ("float32", "tf32"))
    low = plan("mf_b2", "8xH100", training__precision="bfloat16")
    assert exact.step_seconds > tf32.step_seconds > low.step_seconds
    assert plan("mf_b2", "8xH100") == tf32._replace(name="mf_b2")


def test_microbatches_are_parts_of_the_devices():
    one, more = plan(on="8xH100"), plan(on="8xH100", training__num_microbatches=32)
    assert (one.num_rows, one.num_parts) == (32, 1)
    assert (more.num_rows, more.num_parts) == (8, 4)
    assert more.memory.activations == one.memory.activations / 4
    assert more.step_seconds > one.step_seconds


def test_a_share_of_rows_that_does_not_come_out_is_said():
    assert plan(on="v4-128").unequal == ""  # 3 of 4
    assert "int(1 x 0.75) = 0 have r = t, 0% of the batch" in plan(on="v5e-256").unequal
    assert "int(2 x 0.75) = 1 have r = t, 50% of the batch" in plan(on="v4-256").unequal
    assert plan(on="v5e-256", method__equal_rows="random").unequal == ""


def test_memory_is_that_of_the_compiled_step_where_a_record_has_it():
    settings = {"chip": "v4", "of": "guided sparse", "model": "DiT_XL_2", "batch_size": 4}
    found = {"what": "bench/peak_bytes", "settings": settings, "dtype": "float32", "unit": "B"}
    records = [record(**found, value=18e9), record(**found, value=17e9)]
    compiled = plan(records=records)
    assert compiled.memory.peak == 17e9  # the newest
    estimate = estimated_memory(compiled.config, 4)
    assert compiled.memory == estimate._replace(compiled=17e9)
    for changes in ({"method__jvp": "dense"}, {"training__precision": "bfloat16"},
                    {"model__cls": "DiT_L_2"}, {"on": "v5p-128"}, {"on": "v4-64"},
                    {"method__kappa": 0.0}):  # fmt: skip
        assert plan(records=records, **changes).memory.compiled is None
    config = load_config("mf_xl2")
    assert step_memory(config, machine("v4-128").chip, 4, 2, records).compiled is None


def test_memory_estimated_is_within_a_factor_of_two_of_what_xla_takes_on_a_cpu():
    pytest.importorskip("jax")
    from bench.steps import Step
    from impls.frameworks import implementation

    sizes = {"model.cls": "DiT_S_4", "model.depth": 4, "training.batch_size": 32}
    config = load_config("mf_b4", sizes)
    counted = Step(implementation("jax"), config).cost.peak_bytes
    assert 0.5 < estimated_memory(config, 32).peak / counted < 2


def test_a_form_is_named_where_the_bench_has_it():
    forms = {
        "flow matching": {"method.guidance_eq": "none", "method.data_proportion": 1.0},
        "unguided dense": {"method.guidance_eq": "none", "method.jvp": "dense"},
        "guided sparse": {},
        None: {"method.kappa": 0.0},
    }
    for name, changes in forms.items():
        assert form_of(load_config("mf_b4", changes)) == name
    for key, value in (("tangent_velocity", "network"), ("tangent_gradient", 0.5)):
        assert form_of(load_config("mf_b4", {f"method.{key}": value})) is None


def test_the_command_prints_estimates_side_by_side_in_80_columns(capsys):
    words = ["plan", "--config", "mf_xl2", "--chips", *MACHINES, "v6e-64"]
    assert main([*words, "--epochs", "80", "--price-per-chip-hour", "1.5"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert "estimates, nothing was measured" in said
    assert said.count("400,320") == 5
    for row in ("seconds per step", "within a factor of", "chip-hours", "price", "fits"):
        assert len(re.findall(rf"^{row}", said, re.MULTILINE)) == 2  # four columns, and one


def test_batch_sizes_are_compared(capsys):
    words = ["plan", "--config=mf_b4", "--chips", "v4-8", "--batch-sizes", "256", "512"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert re.search(r"^batch +256 +512$", said, re.MULTILINE)
    assert re.search(r"^steps +1,200,960 +600,480$", said, re.MULTILINE)
    assert "price" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--chips v7-8", "chip v7 is unknown, expected one of v3, "),
        ("--chips v5e-3", "there is no slice v5e-3"),
        ("--chips v4-48", "24 devices, which do not divide training.batch_size 256"),
        ("--chips v5e-4", "needs 54.9 GB on each device, more than the 16.0 GB of TPU v5e"),
        ("--chips v4-8 --products tf32", "--products is tf32, expected bfloat16 on TPU v4"),
        ("--chips h100 --products tf32 --training.precision=bfloat16", "leave out one of them"),
        ("--chips h100 --dataset.name=digits", "dataset.name is digits, expected imgnet_latent"),
        ("--chips h100 --epochs 0", "--epochs is 0, expected a whole number, 1 or more"),
        ("--chips h100 --batch-sizes 0", "--batch-sizes is 0"),
        ("--chips h100 --price-per-chip-hour=-1", "--price-per-chip-hour is -1.0"),
        ("--chips h100 --price-per-chip-hour=nan", "--price-per-chip-hour is nan"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_sentence(words, said, capsys):
    assert said in refused(capsys, "plan", "--config=mf_xl2", *words.split())


def test_the_price_table_has_every_run_of_the_reproduction_table():
    lines = prices(read()).splitlines()
    for row in ROWS:
        assert any(line.startswith(f"| {row.preset} | {row.epochs} |") for line in lines)
    assert all(name in lines[0] for name in MACHINES)
    assert "Estimates, of which none was measured" in prices(read())


def test_the_tables_of_the_manual_are_those_that_are_made():
    text = MANUAL.read_text(encoding="utf-8")
    for name, make in (("prices", prices), ("predicted", predicted)):
        assert f"<!-- table {name} -->\n\n{make(read())}\n<!-- end -->" in text
