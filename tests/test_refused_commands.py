"""Commands that cannot be carried out: one sentence, status 2, and nothing is written."""

import os

import pytest
from results_records import refused
from subprocesses import ROOT

from bench.fid import standins
from verify.checks.inception import STANDIN as INCEPTION
from verify.fixtures.standin_vae import STANDIN as VAE

COUNT = "is 0, expected a whole number, 1 or more"
ENCODE = f"prepare latents --imagenet images --vae {VAE} --output out"
SAMPLE = f"sample --checkpoint {ROOT / 'tests' / 'checkpoints' / 'torch'} --output-dir out"
MEASURE = f"statistics --images none --inception {INCEPTION} --output out.npz"
IMPORT = f"convert --from-official {standins.CHECKPOINT}"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("sample --checkpoint nowhere --output-dir out", "no checkpoint at nowhere"),
        ("evaluate --checkpoint nowhere", "no checkpoint at nowhere"),
        ("evaluate --checkpoint . --num-samples 3", "--num-samples is 3"),
        ("evaluate --checkpoint . --seed -1", "--seed is -1, expected a whole number, 0 or more"),
        ("evaluate --checkpoint . --num-samples 2000000", "expected a whole number, 1,000,000 at"),
        (f"{SAMPLE} --seed -1", "--seed is -1, expected a whole number, 0 or more"),
        (f"{SAMPLE} --seed 4294967296", "expected a whole number, 4,294,967,295 at most"),
        (f"{SAMPLE} --num-steps 10001", "--num-steps is 10001, expected a whole number, 10,000"),
        (f"{SAMPLE} --num-samples 2000000", "expected a whole number, 1,000,000 at most"),
        (f"{SAMPLE} --labels ²", "--labels is ², expected random, balanced or one of 0 .. 9"),
        (f"{SAMPLE} --labels {'9' * 900}", "99, expected random, balanced or one of 0 .. 9"),
        ("fid-check --seed -1", "--seed is -1"),
        (
            "fid-check --batch-size 100000",
            "--batch-size is 100000, expected a whole",
        ),
        ("ablations --workdir w --seeds 1 -2", "--seeds is -2"),
        ("train --framework torch --workdir w --load-from c --set load_from=d", "is given twice"),
        ("train --framework torch --workdir w --eval-only", "load_from names no checkpoint"),
        (
            "train --framework torch --workdir w --dataset.name=nope",
            "dataset.name in the overrides",
        ),
        ("train --framework jax --workdir w --dataset.name=mnist", "MNIST"),
        ("train --framework jax --workdir w --training.lr 1", "training.lr"),
        ("train --framework jax --workdir w --device nonsense", "--device is nonsense"),
        ("train --framework torch --workdir w --device nonsense", "--device is nonsense"),
        *(
            (f"{ENCODE} --{option} 0", f"--{option} {COUNT}")
            for option in ("image-size", "batch-size", "shard-size", "num-processes")
        ),
        (f"{MEASURE} --batch-size 0", f"--batch-size {COUNT}"),
        (f"{MEASURE} --process 2 --num-processes 2", "--process is 2, expected 0 to 1"),
        (f"{MEASURE} --inception none.pt", "there is no Inception file none.pt: get"),
        (MEASURE, "none holds 0 images"),
        (f"fid-check --checkpoint {standins.CHECKPOINT}", "--inception is missing"),
        ("convert --checkpoint c --framework jax", "--framework and --output belong together"),
        ("convert --checkpoint c --output x", "--framework and --output belong together"),
        ("convert --checkpoint c", "nothing to write"),
        (IMPORT, "nothing to write"),
        ("convert --framework jax --output x", "either --checkpoint, --from-official or"),
        (
            f"{IMPORT} --framework torch --output x --set training.ema_more=[0.99]",
            "such a checkpoint has one EMA",
        ),
    ],
)
def test_what_a_user_gets_wrong_is_one_sentence(command, says, capsys, tmp_path, monkeypatch):
    pytest.importorskip("jax")
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    assert says in refused(capsys, *command.split())
    assert os.listdir(tmp_path) == []  # noqa: PTH208
