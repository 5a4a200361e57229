"""What a run survives: kills, a full disk, numbers that are not finite; and its memory."""

import functools
import json
import math
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from refusals import refusal
from small_runs import SMALL, assert_same_state, small, state_of, trained

from impls import data
from impls.common.errors import UserError
from impls.files import checkpoints
from impls.files.checkpoints import CheckpointError
from impls.frameworks import implementation
from impls.trainer.train import TrainingError, _draws, train
from meanflow_repro import main

ROOT = Path(__file__).parents[3]


def command(framework, workdir, num_steps, **more):
    """Whole epochs of one step, a checkpoint after each."""
    changed = {"num_steps": num_steps, "batch_size": 1438, "log_per_step": 1, **more}
    settings = SMALL | {f"training.{key}": value for key, value in changed.items()}
    return [
        *(sys.executable, "-m", "meanflow_repro", "train", "--framework", framework),
        *("--workdir", str(workdir), *(f"--{key}={value}" for key, value in settings.items())),
    ]


NUM_STEPS = 20


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The arrays at the end of a framework's run that nobody killed."""

    @functools.cache
    def run(framework):
        folder = tmp_path_factory.mktemp("whole")
        subprocess.run(command(framework, folder, NUM_STEPS), cwd=ROOT, check=True)
        return state_of(folder)

    return run


@pytest.mark.slow
@pytest.mark.soak("kills", of="repetition")
@pytest.mark.parametrize("repetition", range(25))
def test_kills_at_random_moments_change_no_bit(
    framework,
    repetition,
    whole,
    moments,
    tmp_path,
    record_property,
):
    """A run is killed, started again, killed again, and then left alone."""
    asked = command(framework, tmp_path, NUM_STEPS)
    for _ in range(2):
        before = newest(tmp_path / "checkpoints")
        wanted = before + moments.randint(1, NUM_STEPS // 4)
        with subprocess.Popen(asked, cwd=ROOT) as process:
            deadline = time.monotonic() + 600  # of a machine that does much else
            while newest(tmp_path / "checkpoints") < wanted:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.001)
            amid_a_save = moments.random() < 0.5
            while amid_a_save and not any((tmp_path / "checkpoints").glob(".partial-*")):
                assert process.poll() is None
                time.sleep(0.0005)
            # Amid a step, a save, or the removal of an old checkpoint.
            time.sleep(moments.uniform(0, 0.03 if amid_a_save else 0.2))
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
        assert newest(tmp_path / "checkpoints") >= wanted
        record_property("repetitions", 1)
    subprocess.run(asked, cwd=ROOT, check=True)
    assert_same_state(state_of(tmp_path), whole(framework))
    lines = (tmp_path / "scalars.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, NUM_STEPS + 1))
    kept = sorted((tmp_path / "checkpoints").iterdir(), key=lambda path: int(path.name))
    assert [state_of(path).step for path in kept] == [NUM_STEPS - 2, NUM_STEPS - 1, NUM_STEPS]


def newest(folder):
    """Step of the newest whole checkpoint, 0 where there is none."""
    if not folder.is_dir():
        return 0
    return max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupt_saves_and_ends_cleanly(framework, number, tmp_path, monkeypatch, capsys):
    def draws(module, config, step):
        if step == 2:
            signal.raise_signal(number)
        return _draws(module, config, step)

    monkeypatch.setattr("impls.trainer.train._draws", draws)
    assert main(command(framework, tmp_path, 6)[3:]) == 128 + number
    said = capsys.readouterr()
    assert "stopped at step 3" in said.out
    assert "conditional accuracy" not in said.out  # which is said of finished runs
    assert said.err == (
        f"meanflow: {signal.Signals(number).name} ended the run, which is saved in"
        f" {tmp_path / 'checkpoints' / '3'}: resume it with the same command\n"
    )
    assert checkpoints.find(tmp_path).step == 3


def test_a_folder_that_is_removed_during_a_run_is_one_sentence(framework, tmp_path, monkeypatch):
    def draws(module, config, step):
        if step == 3:
            shutil.rmtree(tmp_path / "run")
        return _draws(module, config, step)

    monkeypatch.setattr("impls.trainer.train._draws", draws)
    said = refusal(UserError, trained, framework, tmp_path / "run")
    assert said.startswith(f"{tmp_path / 'run'} was removed or moved")
    assert list(tmp_path.iterdir()) == []


def run_python(program, arguments):
    """Run a program in a new process with these arguments."""
    asked = [sys.executable, "-c", program, *arguments]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from meanflow_repro import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk_is_one_sentence_and_costs_nothing(framework, tmp_path):
    """No file may grow beyond 20 kB: the state does not fit, the log does."""
    trained(framework, tmp_path, training__num_steps=2)
    before = state_of(tmp_path)
    asked = command(framework, tmp_path, 6, batch_size=32)[3:]
    done = run_python(LIMITED, asked)
    assert done.returncode == 2, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("meanflow: ")]
    assert said.startswith(f"meanflow: cannot write the checkpoint {tmp_path}")
    if framework == "torch":  # Orbax's threads may add their own words
        assert done.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["2"]
    assert_same_state(state_of(tmp_path), before)


def test_a_disk_with_too_little_space_is_not_written_to(framework, tmp_path, monkeypatch):
    trained(framework, tmp_path, training__num_steps=2)
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(CheckpointError, match=r"it needs 0 MB, and 0 MB are free"):
        trained(framework, tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["2"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    pytest.importorskip("torch")
    with pytest.raises(UserError, match=r"cannot write to .*file"):
        trained("torch", tmp_path / "file" / "run")


def test_the_first_array_that_is_not_finite_is_named(framework, tmp_path, monkeypatch):
    """In the data: the images, at the step that read them."""
    images, labels = data.digits_split(held_out=False)
    examples = [(image, int(label)) for image, label in zip(images, labels, strict=True)]
    examples[0] = (np.full_like(images[0], math.nan), 3)
    monkeypatch.setattr("impls.trainer.train.source", lambda config: examples)
    config = small(training__num_steps=60, training__checkpoint_per_epoch=1000)
    with pytest.raises(TrainingError, match=r"^images is not finite at step \d+") as caught:
        train(implementation(framework), framework, config, tmp_path)
    assert "look at the data" in str(caught.value)
    assert checkpoints.newest(tmp_path) is None


def test_a_broken_run_keeps_the_checkpoint_before(framework, tmp_path):
    module = implementation(framework)
    trained(framework, tmp_path, training__num_steps=2)
    before, config = state_of(tmp_path), small()
    broken = state_of(tmp_path)._replace(step=3)
    bias = "final_layer/linear/bias"
    broken.params[bias] = np.full_like(before.params[bias], math.inf)
    checkpoints.write(
        tmp_path, framework, 3, config,
        lambda path: module.save_checkpoint(path, module.load_state(config, broken)),
    )  # fmt: skip
    with pytest.raises(TrainingError, match=r"^v_g is not finite at step 4: .*learning_rate"):
        trained(framework, tmp_path)
    assert checkpoints.find(tmp_path).step == 3
    assert_same_state(before, state_of(tmp_path / "checkpoints" / "2"))


PEAKS = """
import sys
from pathlib import Path
import impls.trainer.train as t
from meanflow_repro import main
peaks, real = [], t.RunLog.scalars
def scalars(self, step, values):
    real(self, step, values)
    peaks.append(int(Path('/proc/self/statm').read_text().split()[1]) * 4096)
t.RunLog.scalars = scalars
assert main(sys.argv[1:]) == 0
half = len(peaks) // 2
print('PEAKS', max(peaks[5:half]), max(peaks[half:]))
"""


@pytest.mark.slow
def test_memory_does_not_grow(framework, tmp_path):
    """Peak memory after 2000 more steps, logged and drawn and saved as a long run would be."""
    rhythm = {"log_per_step": 100, "checkpoint_per_epoch": 5, "sample_per_epoch": 5}
    asked = command(framework, tmp_path, 3000, batch_size=32, **rhythm)[3:]
    if not Path("/proc/self/statm").exists():
        pytest.skip("reads /proc")
    done = run_python(PEAKS, asked)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("PEAKS"))
    early, late = map(int, line.split()[1:])
    assert late < early + 2**24, f"{early} bytes became {late}"
