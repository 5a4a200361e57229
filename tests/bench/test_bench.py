"""The bench: ratios of times taken in turns, tables, records, and errors a user can cause."""

import io
import itertools
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from results_records import overhead_table, refused, throughput_table
from rich.console import Console

from bench.forms import FLOW_MATCHING, FORMS, configuration, forms
from bench.jvp_overhead import OFFICIAL
from bench.measurement import Measured, Run
from bench.printing import PRINTERS
from bench.timer import Estimate, interleave, ratio, seconds
from impls.common.config_files import load_config
from meanflow_repro import main
from results.reading import read

SMALL = ["--config=digits", "--model.cls=DiT", "--model.depth=1", "--training.batch-size=4"]


@pytest.fixture
def call(monkeypatch):
    """A call that takes these seconds one after the other, by a clock of its own."""
    now = [0.0]
    monkeypatch.setattr("bench.timer.time", SimpleNamespace(perf_counter=lambda: now[0]))

    def taking(*durations, log=None):
        turns = itertools.cycle(durations)

        def one():
            now[0] += next(turns)
            if log is not None:
                log.append(durations[0])

        return one

    return taking


def test_calls_are_timed_in_turns_and_each_goes_first(call):
    log = []
    calls = {"short": call(1.0, log=log), "long": call(3.0, log=log)}
    times = interleave(calls, num_rounds=4)
    assert log[2:] == [1, 3, 3, 1] * 2
    assert times["short"].data == [1] * 4
    assert times["long"].data == [3] * 4


def test_a_ratio_is_taken_within_rounds_and_has_an_interval(call):
    """On a machine whose speed changes from round to round; the first is not counted."""
    times = interleave({"short": call(9, 1, 2, 4), "long": call(9, 2, 6, 16)}, num_rounds=3)
    found = ratio(times["long"], times["short"])
    assert found.value == 3
    assert 2 <= found.low <= found.value <= found.high <= 4
    assert seconds(times["short"]).value == 2


def test_flow_matching_has_no_jvp_and_no_guidance():
    method = configuration("mf_b4", {}, FLOW_MATCHING).method
    assert method.data_proportion == 1
    assert method.guidance_eq == "none"
    assert configuration("mf_b4", {}, "guided sparse").method.kappa > 0
    assert configuration(None, {}).model.cls == "DiT_S_4"
    assert configuration("digits", {}).training.batch_size == 128
    assert set(forms("torch")) == set(FORMS)
    assert forms("jax", ["guided dense"]) == (FLOW_MATCHING, "guided dense")


def values(folder):
    """Recorded numbers by quantity and by what they are of."""
    return {(record.what, record.settings["of"]): record.value for record in read(folder)}


def test_a_bench_prints_ratios_and_records_them(framework, tmp_path, capsys):
    file, records = tmp_path / "times.json", tmp_path / "records"
    options = ["--rounds=1", f"--json={file}", f"--record={records}", *SMALL]
    assert main(["bench", "jvp-overhead", "--framework", framework, *options]) == 0
    printed = capsys.readouterr().out
    assert all(len(line) <= 80 for line in printed.splitlines() if "records" not in line)
    assert "1.16 times flow matching" in printed
    found = values(records)
    pair = f"guided sparse / {FLOW_MATCHING}"
    ours, theirs = (found["bench/step_seconds", name] for name in pair.split(" / "))
    assert found["bench/step_time_ratio", pair] == pytest.approx(ours / theirs)  # of the one round
    assert 0.7 < found["bench/step_flops_ratio", "guided sparse / guided dense"] < 0.85
    assert all(record.machine["num_usable_cpus"] >= 1 for record in read(records))
    (saved,) = {entry["group"] for entry in json.loads(file.read_text())["benchmarks"]}
    assert saved == f"jvp-overhead impls.meanflow_{framework}"
    compare = [sys.executable, "-m", "pytest_benchmark", "compare", str(file), "--sort=name"]
    done = subprocess.run(compare, capture_output=True, text=True, check=True)
    assert FLOW_MATCHING in done.stdout + done.stderr


def test_throughput_and_sampling_say_how_many_a_second(framework, tmp_path, capsys):
    options = ["--rounds=1", f"--record={tmp_path}", *SMALL, "--batch-sizes", "4", "8"]
    main(["bench", "throughput", "sampling", "--framework", framework, *options])
    assert "DiT batch 8" in capsys.readouterr().out
    found, of = values(tmp_path), "DiT batch 8"
    step = found["bench/step_seconds", of]
    assert found["bench/images_per_second", of] == pytest.approx(8 / step)
    rate, peak = (
        found[f"bench/{of_what}flops_per_second", of] for of_what in ("", "matrix_product_")
    )
    assert found["bench/utilization_ratio", of] == pytest.approx(rate / peak)
    assert 0 < rate < peak
    assert found["bench/sampling_seconds", "1 step"] > 0
    assert ("bench/samples_per_second", "4 steps") in found


def test_depth_measures_rounding_in_each_precision(framework, monkeypatch, tmp_path):
    monkeypatch.setattr("bench.depth.DEPTHS", (1,))
    monkeypatch.setattr("bench.printing.DEPTHS", (1,))
    assert main(["bench", "depth", "--framework", framework, "--record", str(tmp_path)]) == 0
    records = read(tmp_path)
    bounds = {"float64": (1e-17, 1e-14), "float32": (1e-9, 5e-6), "bfloat16": (1e-4, 0.1)}
    assert len(records) == 3 * len(bounds)
    for record in records:
        low, high = bounds[record.dtype]
        assert low < (record.value or 0) < high, record.settings


def test_attention_goes_through_the_numbers_of_tokens(framework, capsys):
    main(["bench", "attention", "--framework", framework, "--rounds=1", *SMALL])
    assert "16 tokens, unguided sparse" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("framework", "options", "says"),
    [
        ("jax", ["--rounds=0"], "--rounds is 0"),
        ("jax", ["--batch-sizes", "4", "0"], "--batch-sizes is 0"),
        ("jax", ["--against=somewhere"], "official=PATH"),
        ("jax", ["--against=official=/nowhere"], "/nowhere has no meanflow.py"),
        ("torch", ["--against=official=/nowhere"], "needs --framework jax"),
        ("jax", ["--config=nothing"], "nothing"),
        ("jax", ["--forms", "sparse"], "--forms has sparse, expected one of flow matching"),
    ],
    indirect=["framework"],
)
def test_what_a_user_gets_wrong_is_said_in_one_sentence(framework, options, says, capsys):
    command = ("bench", "jvp-overhead", "--framework", framework)
    assert says in refused(capsys, *command, *SMALL, *options)


def test_a_table_says_what_was_not_measured():
    lines = overhead_table([]).splitlines()[2:]
    assert [line.count("not measured") for line in lines] == [4, 4, 1, 4, 1, 2]
    assert all(line.count("not measured") == 2 for line in throughput_table([]).splitlines()[2:])


def test_large_numbers_keep_the_tables_in_80_columns():
    """Those of a large network on a GPU, with every form."""
    numbers = {
        "step_seconds": Estimate(112.345, 101.1, 120.2), "step_time_ratio": Estimate(11.3, 9.1, 12),
        "step_flops": 1.2e13, "step_flops_ratio": 1.3, "step_bytes_accessed": 3.3e12,
        "peak_bytes": 67.5e9, "compile_seconds": Estimate(163.0, 160.0, 165.0),
        "images_per_second": Estimate(12345.6, 11111.1, 13333.3), "flops_per_second": 5.6e14,
        "utilization_ratio": 0.56,
    }  # fmt: skip
    names = (*FORMS, OFFICIAL)
    ratios = [f"{name} / {FLOW_MATCHING}" for name in names]
    compared = ("step_time_ratio", "step_flops_ratio")
    for bench, ofs in (("jvp-overhead", (*names, *ratios)), ("throughput", names)):
        run = Run(SimpleNamespace(), "torch", None, {}, 20)
        found = Measured(bench, run, times=dict.fromkeys(names))
        for of in ofs:
            kind = {k: v for k, v in numbers.items() if (k in compared) == (of in ratios)}
            found.add(of, load_config("mf_b4"), {"num_rounds": 20}, **kind)
        file = io.StringIO()
        PRINTERS[bench](found, Console(file=file, width=80))
        lines = [line.rstrip() for line in file.getvalue().splitlines()]
        assert len(lines) > len(names)
        assert max(map(len, lines)) <= 80
        assert [line for line in lines if line.startswith(" ") or "…" in line] == []
