"""Every command of README and manual runs, on stand-ins of its files, or it is said why not.

The stand-ins lie in one folder under the names that the manual gives their originals. A checkout
of the authors' code takes the place of its stand-in where MEANFLOW_OFFICIAL names one.
"""

import contextlib
import importlib
import io
import json
import re
import shlex
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from checkouts import CHECKOUT, STANDIN
from PIL import Image
from results_records import told
from subprocesses import ROOT, run_python
from test_manual import commands

from bench.fid import standins
from impls.common import draws, parameters
from impls.common.config_files import load_config
from impls.common.draws import Stream
from meanflow_repro import main

jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
nox = pytest.importorskip("nox")
importlib.import_module("noxfile")  # registers the sessions
pytest.importorskip("cleanfid")
pytest.importorskip("diffusers")

SMALL = "--model.hidden-size=16 --model.depth=1 --model.num-heads=2 --model.patch-size=4"
SHORT = f"{SMALL} --training.batch-size=32 --training.num-steps=3"
TRAIN = "meanflow train --framework jax --config digits --workdir runs/digits"
INCEPTION = {"inception-2015-12-05.pt": "inception.pt"}  # that name is for the file of one digest
ADD = "meanflow results add mine.yml"
PACK = "meanflow prepare pack --input latents/train --output packed"


@dataclass(frozen=True)
class Runs:
    """A command that ends with exit status 0 here."""

    replaced: dict[str, str] = field(default_factory=dict)  # parts of it by others, in this order
    added: str = ""  # words at its end
    after: str = ""  # the command of the table that writes what this one reads
    writes: str = ""  # a file or folder that is there afterwards


# Why a command is not run here.
INSTALLS = "installs packages, and the command that it then runs is run by tests"
LONG = "trains or measures for most of an hour, by commands that tests run in small"
MENTION = "names a command, whose options stand in a block"
FAMILIES = ("jvp", "objective", "draws", "sampling", "gradient")
MENTIONED = ("verify", "verify FILE.py", "diagnose", "diagnose --template torch", "config",
             "plan", "evaluate", "statistics", "fid-check", "prepare latents",
             "convert --from-torch", "results add", "results add FILE")  # fmt: skip
HELP = "lists what stands in this table"
ACCELERATOR = "measures on a GPU or TPU; the same command runs in small"
SESSIONS = {
    INSTALLS: (
        "verify", "verify -- --full", "verify-jax", "verify-torch", "verify tests lint types",
        "tests -- --slow", "tests-tpu", "lint", "docs",
        *(f"verify -- --check {family}" for family in FAMILIES),
    ),
    LONG: ("notebook", "soak", "slips", "bench", "bench -- --full", "bench-tpu", "bench-gpu",
           "ablations", "tolerances", "ablations -- --presets modular/l_1"),
}  # fmt: skip

# How a command is run here that does not run as it stands; or the test that runs it in small, or
# why none does.
TABLE = {
    "pip install nox": INSTALLS,
    "pip install -c constraints.txt -e .[jax,torch]": INSTALLS,
    "pip install -c constraints.txt -e .[tpu,bench]": INSTALLS,
    "pip install -c constraints.txt jax[cuda13]": INSTALLS,
    "pip install -c constraints.txt torch torchvision": INSTALLS,
    **{f"nox -s {name}": reason for reason, names in SESSIONS.items() for name in names},
    "nox -s tables": "test_the_committed_tables_and_figures_follow_from_the_committed_records",
    "nox -l": HELP,
    "meanflow --help": HELP,
    **{f"meanflow {command}": MENTION for command in MENTIONED},
    "nox -s fid-check": "test_stand_ins_score_the_same_in_both_frameworks_as_in_numpy",
    # verify
    "meanflow verify examples/subject.py --check target_* --no-deviations": (
        "test_the_example_of_a_subject_fails_as_the_manual_says"
    ),
    "meanflow verify --golden FOLDER --json outcomes.json": Runs(
        {"FOLDER": "golden"}, "reference --check official", writes="outcomes.json"
    ),
    "meanflow verify --official CHECKOUT": Runs(
        added="reference --official-settings=1 --official-seed=16"  # a network of one block
    ),
    "nox -s golden -- --official CHECKOUT --cases FILE --seed 1 --output FOLDER": Runs(
        {"FILE": "cases.json", "FOLDER": "made"}, writes="made/case_small.npz"
    ),
    # diagnose
    "meanflow diagnose --template torch > port.py": Runs(writes="port.py"),
    "meanflow diagnose port.py": ("test_the_worked_example_of_a_port_prints_what_the_manual_shows"),
    "meanflow diagnose port.py --python ../port/.venv/bin/python --json outcomes.json"
    " --svg figure.svg": Runs(
        {
            "port.py": "examples/ports/minimal_torch.py",
            "../port/.venv/bin/python": sys.executable,
            "outcomes.json": "diagnosis.json",
        },
        writes="figure.svg",
    ),
    # configurations and training
    TRAIN: Runs(added=SHORT, writes="runs/digits"),
    "meanflow train --framework torch --config digits --workdir runs/torch"
    " --training.num-steps=500": Runs({"steps=500": "steps=3"}, SMALL, writes="runs/torch"),
    "meanflow train --framework jax --config PRESET --workdir runs/PRESET"
    " --training.num-epochs=80": Runs(
        {"framework jax": "framework torch", "runs/PRESET": "runs/preset", "PRESET": "digits"},
        SHORT,
    ),
    "meanflow sample --checkpoint runs/digits --output-dir samples --num-samples 100"
    " --num-steps 1": Runs(after=TRAIN, writes="samples/grid.png"),
    "meanflow evaluate --checkpoint runs/digits": Runs(after=TRAIN),
    # checkpoints
    "meanflow convert --checkpoint runs/digits --framework torch --output runs/carried": Runs(
        after=TRAIN, writes="runs/carried"
    ),
    "meanflow convert --checkpoint runs/digits --safetensors digits.safetensors": Runs(
        after=TRAIN, writes="digits.safetensors"
    ),
    "meanflow convert --from-official checkpoint_400000 --config mf_b4 --framework jax"
    " --output runs/b4": Runs({"mf_b4": "tiny.yml"}, writes="runs/b4"),
    "meanflow convert --from-torch 0400000.pt --config mf_b4 --framework torch"
    " --output runs/sit": Runs({"mf_b4": "tiny.yml"}, writes="runs/sit"),
    # data
    PACK: Runs(writes="packed"),
    "meanflow train --framework jax --config mf_b4 --workdir runs/b4 --dataset.root=packed": Runs(
        {"framework jax": "framework torch", "runs/b4": "runs/packed"},
        f"{SHORT} --dataset.image-size=8",
        PACK,
        "runs/packed",
    ),
    "meanflow prepare latents --imagenet imagenet --vae sd-vae-ft-mse --output latents": Runs(
        {"output latents": "output encoded"}, "--image-size=16", writes="encoded"
    ),
    "meanflow statistics --images imagenet/train --inception inception-2015-12-05.pt"
    " --output stats.npz": Runs(INCEPTION, "--image-size=16", writes="stats.npz"),
    # FID
    "nox -s fid-check -- --checkpoint checkpoint_1200000 --vae sd-vae-ft-mse"
    " --inception inception-2015-12-05.pt --stats imagenet_256_fid_stats.npz": Runs(
        INCEPTION,
        "--config tiny.yml --num-samples 100 --framework torch",
        writes="runs/fid-check/torch.npy",
    ),
    "meanflow fid-check --checkpoint runs/PRESET --vae FOLDER --inception FILE --stats FILE"
    " --record results/records": "test_a_run_of_ours_is_scored_without_a_configuration",
    # results
    "meanflow results template > mine.yml": Runs(writes="mine.yml"),
    ADD: Runs({"mine.yml": "theirs.yml"}, "--records records"),
    # bench
    "meanflow bench jvp-overhead --framework torch": "test_a_bench_prints_ratios_and_records_them",
    "meanflow bench jvp-overhead --framework jax --against official=CHECKOUT": Runs(
        added=f"--config digits {SMALL} --training.batch-size=4 --rounds=1 --forms='flow matching'"
    ),
    "meanflow bench throughput --framework jax --models DiT_S_4 DiT_B_4"
    " --batch-sizes 32 64": "test_throughput_and_sampling_say_how_many_a_second",
    "meanflow bench sampling attention --framework torch --training.compile=always": (
        # uncompiled: to compile takes PyTorch minutes
        "test_attention_goes_through_the_numbers_of_tokens"
    ),
    "meanflow bench jvp-overhead --framework jax --model.cls=DiT_B_4 --training.batch-size=256"
    " --record results/records": ACCELERATOR,
    "meanflow bench throughput --framework jax --models DiT_B_4 --batch-sizes 256"
    " --record results/records": ACCELERATOR,
    "meanflow bench tpu": "test_the_default_set_is_the_five_forms_in_both_precisions",
    "meanflow bench tpu --chips v5e v6e --models DiT_XL_2 --batch-sizes 8 --precisions bfloat16": (
        "test_what_is_asked_for_is_compiled_in_all_combinations"
    ),
    "meanflow bench tpu --forms guided sparse --largest-batch --against official=CHECKOUT": (
        "test_the_largest_batch_is_one_that_was_compiled"
    ),
    "meanflow bench gpu --framework torch": "test_the_steps_are_timed_and_recorded",
    "meanflow bench gpu --framework jax --models DiT_B_4 --batch-sizes 64 256"
    " --precisions bfloat16": ("test_what_is_asked_for_is_measured_in_all_combinations"),
    "meanflow bench gpu --framework torch --training.compile=never --forms guided sparse": (
        "test_the_steps_are_timed_and_recorded"
    ),
    "meanflow bench depth --framework jax": "test_depth_measures_rounding_in_each_precision",
}
COMMANDS = list(dict.fromkeys(" ".join(command) for command in commands()))


class Session:
    """A session of nox without an environment of its own: its commands run in this one."""

    def __init__(self, options):
        self.posargs = options

    def install(self, *requirements):
        pass

    def run(self, program, *words):
        if program == "meanflow":
            assert main(words) == 0
        else:
            script, *options = words  # in float32, as in a shell and not as in these tests
            done = run_python(ROOT / script, *options, JAX_ENABLE_X64="0")
            assert done.returncode == 0, done.stderr


def run(words):
    program, *rest = words
    if program == "meanflow":
        return main(rest)
    nox.registry.get()[rest[1]](Session(rest[rest.index("--") + 1 :]))
    return 0


def write_stand_ins(folder):
    """What the commands read, under the names of the manual or of TABLE."""
    links = {
        "CHECKOUT": Path(CHECKOUT or STANDIN).resolve(),
        "checkpoint_400000": standins.CHECKPOINT,
        "checkpoint_1200000": standins.CHECKPOINT,
        "sd-vae-ft-mse": standins.FILES / "vae",
        "inception.pt": standins.FILES / "inception.pt",
        "imagenet_256_fid_stats.npz": standins.STATISTICS,
        "golden": ROOT / "tests" / "golden" / "patch_4",
        "examples": ROOT / "examples",
    }
    for link, target in links.items():
        (folder / link).symlink_to(target)
    for name in ("my_port", "records", "latents/train", "imagenet/train/ant"):
        (folder / name).mkdir(parents=True)
    names = ("load_params", "mean_velocity", "mean_velocity_jvp")
    own = (f"def {name}(*given): return reference.{name}(*given)" for name in names)
    text = "\n".join(("import reference", "from reference import get, put", *own))
    (folder / "my_port" / "subject.py").write_text(text)
    (folder / "my.yml").write_text("base: mf_b4\n")
    config = standins.source().config
    (folder / "tiny.yml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    cases = json.loads((standins.BUNDLED / "cases.json").read_text())
    small = {**cases["no_guidance"], "batch": 2, "sampling": {"s1": [1.0, 0.0]}}
    small["model"] |= {"hidden_size": 8, "depth": 1, "num_heads": 2}
    (folder / "cases.json").write_text(json.dumps({"small": small}))
    params = parameters.to_torch(config.network, parameters.initial_parameters(config.network, 0))
    torch.save(
        {name: torch.from_numpy(array) for name, array in params.items()}, folder / "0400000.pt"
    )
    for number in range(32):
        latent = draws.normal((8, 8, 8), number, Stream.CHECK)
        held = {"image": torch.from_numpy(latent), "label": torch.tensor(number)}
        torch.save(held, folder / "latents" / "train" / f"{number:08d}.pt")
    for number in range(4):
        levels = draws.uniform((24, 20, 3), number, Stream.CHECK) * 256
        image = Image.fromarray(levels.astype(np.uint8))
        image.save(folder / "imagenet" / "train" / "ant" / f"{number}.png")
    told(folder)


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    """Runs a command of TABLE among stand-ins, once, after the one whose output it reads."""
    folder, done = tmp_path_factory.mktemp("readme"), set()
    write_stand_ins(folder)

    def run_once(command):
        if command in done:
            return
        how, line = TABLE.get(command, Runs()), command
        assert isinstance(how, Runs)
        if how.after:
            run_once(how.after)
        for old, new in how.replaced.items():
            assert old in line
            line = line.replace(old, new)
        line, _, output = line.partition(" > ")
        printed, path = io.StringIO(), list(sys.path)
        as_ever = jax.numpy_rank_promotion("allow")  # the strict mode is for our own code
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed), as_ever:
            assert run(shlex.split(f"{line} {how.added}")) == 0, printed.getvalue()
        sys.path[:] = path
        if output:
            (folder / output).write_text(printed.getvalue())
        assert (folder / how.writes).exists()
        done.add(command)

    return run_once


def test_every_command_of_the_table_is_in_the_manual():
    assert set(TABLE) <= set(COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if not isinstance(TABLE.get(c), str)])
def test_the_command_runs(command, runner):
    runner(command)


def test_the_example_of_a_subject_fails_as_the_manual_says(capsys):
    subject = str(ROOT / "examples" / "subject.py")
    assert main(["verify", subject, "--check", "target_*", "--no-deviations"]) == 1
    shown = (ROOT / "docs" / "subjects.md").read_text().split("```text\n")[1].split("```")[0]
    timeless = partial(re.sub, r"\d+ s$", "0 s", flags=re.MULTILINE)
    assert timeless(shown) in timeless(capsys.readouterr().out)


def help_of(*subcommand):
    """What the command line prints of itself and its subcommands."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
        main([*subcommand, "--help"])
    return printed.getvalue()


@pytest.mark.parametrize(
    "command",
    [c for c, how in TABLE.items() if isinstance(how, str) and c[:3] != "pip" and how != HELP],
)
def test_what_a_command_that_is_not_run_names_exists(command, monkeypatch):
    """Subcommands, sessions, options and keys of the configuration."""
    monkeypatch.setenv("COLUMNS", "200")
    own, _, passed = command.partition(" -- ")
    program, *words = shlex.split(own)
    if program == "nox":
        assert words[0] == "-s"
        assert set(words[1:]) <= {*nox.registry.get()}
        conftest = (ROOT / "tests" / "conftest.py").read_text()
        command = "ablations" if words[1] == "ablations" else "verify"
        known, words = conftest if words[1] == "tests" else help_of(command), shlex.split(passed)
    else:
        assert re.search(rf"\b{words[0]}\b", help_of())
        known = help_of(words[0])
    for option in (word for word in words if word.startswith("--")):
        if "." in option:  # a key of the configuration
            key, value = option.removeprefix("--").split("=")
            load_config("digits", {key.replace("-", "_"): value})
        else:
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", known), option


def test_every_test_that_runs_a_command_exists():
    defined = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = {how for how in TABLE.values() if isinstance(how, str) and how.startswith("test_")}
    assert named
    assert {name for name in named if f"\ndef {name}(" not in defined} == set()
