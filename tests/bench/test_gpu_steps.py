"""Steps on a GPU: combinations, MFU, memory that runs out, records, their table, and sentences."""

import io
import os
from types import SimpleNamespace

import pytest
from refusals import refusal
from results_records import in_markdown, record, refused
from rich.console import Console

from bench.chips import chip, chip_of_device
from bench.forms import FLOW_MATCHING
from bench.gpu import steps as bench
from bench.gpu.device import is_out_of_memory, select_gpu
from bench.gpu.printing import print_gpu
from bench.measurement import Run
from bench.plan.work import step_work
from impls.common.errors import UserError
from impls.common.types import Cost
from meanflow_repro import main
from results.reading import read
from results.tabulate.write import ALL

SMALL = ["--config=digits", "--model.cls=DiT", "--model.depth=1", "--training.batch-size=4",
         "--rounds=1", "--training.compile=never"]  # fmt: skip
PRODUCT_SECONDS = 0.5
gpu_table, accelerators_table = in_markdown(ALL["gpu"]), in_markdown(ALL["accelerators"])


class Subject:
    """Stands in for an implementation on a GPU, on which time is what each step is said to take."""

    __name__ = "impls.meanflow_torch"

    def __init__(self, name="gpu NVIDIA H200", too_large=lambda config: False):
        self.name, self.too_large, self.now = name, too_large, 0.0
        self.compiled, self.num_states = [], 0

    def device_name(self):
        return self.name

    def put(self, tree):
        return tree

    def sync(self, tree):
        return tree

    def clear_caches(self):
        pass

    def init_params(self, config, seed):
        return config.model.cls

    def init_state(self, config, params):
        self.num_states += 1
        return params

    def compile_with_cost(self, config, state, batch, draws):
        if self.too_large(config):
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has …")
        self.compiled.append(config)
        seconds = 1.0 if config.method.data_proportion == 1 else 1.25

        def step(state, batch, draws):
            self.now += seconds
            return state, None

        return step, Cost(1e9, None, 3e9, 7.0)

    def matrix_product(self, config, size):
        def multiply():
            self.now += PRODUCT_SECONDS

        return multiply


@pytest.fixture
def measured(monkeypatch):
    """Runs the bench on such a subject, with further settings of the run."""

    def run(subject=None, overrides=None, **settings):
        subject = subject or Subject()
        clock = SimpleNamespace(perf_counter=lambda: subject.now)
        monkeypatch.setattr("bench.timer.time", clock)
        sizes = {"model.depth": 1, "training.batch_size": 4, **(overrides or {})}
        given = {"report": lambda _: None, **settings}
        return bench.gpu(Run(subject, "torch", None, sizes, 2, **given))

    return run


def values(found, what):
    return {q.of: q.value for q in found.quantities if q.what == what}


# What is measured


def test_the_default_set_is_every_network_form_and_precision_eager_and_compiled(measured):
    subject = Subject()
    measured(subject)
    made = [(c.model.cls, c.training.precision, c.training.compile) for c in subject.compiled]
    assert len(made) == len(set(made)) * 4 == 5 * 2 * 2 * 4
    assert {model for model, *_ in made} == {"DiT_B_4", "DiT_B_2", "DiT_M_2", "DiT_L_2", "DiT_XL_2"}
    assert subject.num_states == 5 * 2  # which the forms of a network share


def test_what_is_asked_for_is_measured_in_all_combinations(measured):
    subject = Subject()
    found = measured(
        subject, {"training.compile": "never"}, models=["DiT_B_4"], batch_sizes=(64, 256),
        precisions=["bfloat16"], forms=["guided sparse"],
    )  # fmt: skip
    assert list(found.times) == [
        f"{form}, DiT_B_4 batch {rows}, bfloat16, eager"
        for rows in (64, 256)
        for form in (FLOW_MATCHING, "guided sparse")
    ]


def test_a_form_that_pytorch_does_not_compile_is_not_called_compiled(measured):
    found = measured(models=["DiT_B_4"], forms=["guided autodiff"], precisions=["float32"])
    ways = [of.rpartition(", ")[2] for of in found.times if of.startswith("guided autodiff")]
    assert ways == ["eager"]


@pytest.mark.parametrize(("precision", "peak"), [("float32", "tf32"), ("bfloat16", "bfloat16")])
def test_mfu_is_the_counted_flops_over_time_and_peak(measured, precision, peak):
    found = measured(models=["DiT_B_4"], precisions=[precision], forms=["guided sparse"])
    of = f"guided sparse, DiT_B_4 batch 4, {precision}, compiled"
    config = next(q.config for q in found.quantities if q.of == of)
    work = step_work(config, 4).flops
    published = values(found, "published_peak_mfu_ratio")[of]
    assert published.value == pytest.approx(work / 1.25 / chip("h200").peak(peak))
    assert found.value("model_flops", of) == work
    rate = 2 * bench.PRODUCT_SIZE**3 / PRODUCT_SECONDS
    assert values(found, "matrix_product_flops_per_second")[of].value == pytest.approx(rate)
    ours = values(found, "measured_peak_mfu_ratio")[of]
    assert ours.value == pytest.approx(work / 1.25 / rate)
    assert values(found, "step_time_ratio")[of].value == pytest.approx(1.25)


def test_parts_of_a_batch_are_counted_like_the_whole(measured):
    ofs = []
    for parts in (1, 2):
        found = measured(overrides={"training.num_microbatches": parts}, models=["DiT_B_4"],
                         forms=[FLOW_MATCHING])  # fmt: skip
        ofs.append(values(found, "model_flops"))
    assert ofs[0] == ofs[1]


def test_the_peak_of_an_unknown_chip_is_not_made_up(measured):
    found = measured(Subject("gpu NVIDIA H200 NVL"), models=["DiT_B_4"])
    assert set(values(found, "published_peak_mfu_ratio").values()) == {None}
    detail = next(q.about.detail for q in found.quantities if q.what == "published_peak_mfu_ratio")
    assert detail == "no published peak of gpu NVIDIA H200 NVL is known"
    assert None not in values(found, "measured_peak_mfu_ratio").values()


@pytest.mark.parametrize(
    ("device", "name"),
    [("gpu NVIDIA H200", "h200"), ("gpu NVIDIA H100 80GB HBM3", "h100"),
     ("gpu NVIDIA A100-SXM4-80GB", "a100"), ("gpu NVIDIA H100 PCIe", None), ("cpu", None)],
)  # fmt: skip
def test_a_chip_is_known_by_the_name_of_its_device(device, name):
    assert chip_of_device(device) == (name and chip(name))


# Memory


def test_a_step_without_memory_has_a_line_and_the_others_go_on(measured):
    subject = Subject(too_large=lambda config: config.method.jvp == "dense")
    found = measured(subject, models=["DiT_B_4"], precisions=["float32"])
    failed = [q for q in found.quantities if q.what == "step_seconds" and q.value is None]
    assert [q.of.partition(",")[0] for q in failed] == ["guided dense"] * 2
    assert {q.about.detail for q in failed} == {"out of memory"}
    assert len(found.times) == 6
    assert subject.num_states == 3  # it may have been given away to the steps that failed
    file = io.StringIO()
    print_gpu(found, Console(file=file, width=80))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    (line, _) = [line for line in lines if line.startswith("guided dense")]
    assert "out of memory" in line
    assert "published peak of H200 SXM" in " ".join(lines)


def test_a_network_without_memory_for_its_state_is_passed_over(measured, monkeypatch):
    init = Subject.init_state

    def init_state(self, config, params):
        if params == "DiT_XL_2":
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate")
        return init(self, config, params)

    monkeypatch.setattr(Subject, "init_state", init_state)
    found = measured(models=["DiT_XL_2", "DiT_B_4"], precisions=["float32"])
    assert len(found.times) == 8
    nothing = "out of memory at every step: give smaller --batch-sizes or --models"
    assert refusal(UserError, measured, models=["DiT_XL_2"]) == nothing


def test_other_errors_are_not_taken_for_memory(measured):
    def broken(config):
        raise RuntimeError("a matrix has the wrong shape")

    with pytest.raises(RuntimeError, match="wrong shape"):
        measured(Subject(too_large=broken), models=["DiT_B_4"])
    torch = pytest.importorskip("torch")
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA"))  # by its name


# The command


@pytest.fixture
def tf32(monkeypatch):
    """Settings of products that the command makes, and that are undone."""
    for name in ("JAX_DEFAULT_MATMUL_PRECISION", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"):
        monkeypatch.setenv(name, "0")
    return os.environ


def test_the_steps_are_timed_and_recorded(framework, tf32, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "PRODUCT_SIZE", 64)
    options = ["--device=cpu", "--precisions", "bfloat16", "--forms", "guided sparse"]
    records = ["--record", str(tmp_path)]
    assert main(["bench", "gpu", "--framework", framework, *SMALL, *options, *records]) == 0
    assert tf32["JAX_DEFAULT_MATMUL_PRECISION"] == "default"
    assert tf32["TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"] == "1"
    out = capsys.readouterr().out
    assert "DiT, batch 4, bfloat16, eager" in out
    assert "peak of cpu, not known here" in " ".join(out.split())
    found = {(r.what.removeprefix("bench/"), r.settings["form"]): r for r in read(tmp_path)}
    seconds = found["step_seconds", "guided sparse"]
    assert (seconds.device, seconds.dtype) == ("cpu", "bfloat16")
    share = found["measured_peak_mfu_ratio", "guided sparse"].value
    assert share > 0
    rate = found["images_per_second", "guided sparse"].value
    assert rate == pytest.approx(4 / seconds.value)
    assert found["published_peak_mfu_ratio", "guided sparse"].value is None
    assert "not measured" in gpu_table(read(tmp_path))  # the processor only stands in


def test_float32_is_multiplied_in_tf32_on_a_gpu_alone(measured):
    config = Run(None, "torch", None, {}, 1).config()
    assert bench.products(config, "gpu NVIDIA H200") == "tf32"
    assert bench.products(config, "cpu") == "float32"


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_without_a_gpu_nothing_is_compiled_and_one_sentence_says_so(name, tf32, capsys):
    module = pytest.importorskip(f"impls.meanflow_{name}")
    if module.device_name() != "cpu":
        pytest.skip("there is a GPU or TPU here")
    said = refused(capsys, "bench", "gpu", "--framework", name)
    assert f"impls.meanflow_{name} finds none here (its device is cpu); --device cpu" in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["throughput", "--framework", "torch"], "run it without another bench"),
        ([], "--framework is missing"),
        (["--framework", "torch", "--device=cpu", "--forms", "sparse"], "--forms has sparse"),
        (["--framework", "torch", "--device=cpu", "--models", "DiT_Q"], "DiT_Q"),
        (["--framework", "torch", "--device=cpu", "--batch-sizes", "0"], "--batch-sizes is 0"),
    ],
)
def test_what_a_user_gets_wrong_is_said_in_one_sentence(options, says, tf32, capsys):
    pytest.importorskip("torch")
    assert says in refused(capsys, "bench", "gpu", *options)


def test_a_gpu_that_is_there_is_taken():
    chosen = []
    subject = Subject()
    subject.select_device = chosen.append
    select_gpu(subject, "auto")
    select_gpu(subject, "cuda")
    assert chosen == ["auto", "cuda"]


# The table of the records

SETTINGS = {"form": "guided sparse", "model": "DiT_B_4", "batch_size": 32, "precision": "bfloat16",
            "compile": "never", "of": "x"}  # fmt: skip
ON_GPU = {"machine": {"processor": "x", "device": "gpu NVIDIA H200"}, "interval": None,
          "subject": "impls.meanflow_torch"}  # fmt: skip


def on_gpu(what, value, detail="", **settings):
    return record(what=f"bench/{what}", value=value, detail=detail,
                  settings=SETTINGS | settings, **ON_GPU)  # fmt: skip


def test_the_table_has_the_newest_measurement_and_what_does_not_fit():
    table = gpu_table([
        on_gpu("step_seconds", None, "out of memory"),
        on_gpu("step_seconds", 0.5), on_gpu("step_time_ratio", 9.0),
        on_gpu("step_seconds", 0.025), on_gpu("published_peak_mfu_ratio", 0.314),
        on_gpu("step_seconds", None, "out of memory", compile="always"),
        on_gpu("step_seconds", 0.02, form="flow matching"),
    ])  # fmt: skip
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    flow_matching, eager, compiled = (row for row in rows if row[0] == "NVIDIA H200")
    assert flow_matching[1] == "flow matching, DiT_B_4 batch 32, bfloat16, PyTorch"
    assert eager[1:] == ["guided step, DiT_B_4 batch 32, bfloat16, PyTorch", "25.00", "", "", "",
                         "31.4", "", ""]  # fmt: skip
    assert compiled[1].endswith(", PyTorch compiled")
    assert compiled[2] == "out of memory"


def test_steps_on_gpus_have_a_table_of_their_own():
    assert "NVIDIA" not in accelerators_table([on_gpu("images_per_second", 1000.0)])
    assert "not measured" in gpu_table([])
