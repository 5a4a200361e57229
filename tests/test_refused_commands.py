"""Commands that cannot be carried out: one sentence, status 2, and nothing is written."""

import os

import pytest
from results_records import refused

from bench.fid import standins
from verify.checks.inception import STANDIN as INCEPTION
from verify.fixtures.standin_vae import STANDIN as VAE

COUNT = "is 0, expected a whole number, 1 or more"
ENCODE = f"prepare latents --imagenet images --vae {VAE} --output out"
MEASURE = f"statistics --images none --inception {INCEPTION} --output out.npz"
IMPORT = f"convert --from-official {standins.CHECKPOINT}"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("sample --checkpoint nowhere --output-dir out", "no checkpoint at nowhere"),
        ("evaluate --checkpoint nowhere", "no checkpoint at nowhere"),
        ("evaluate --checkpoint . --num-samples 3", "--num-samples is 3"),
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
            "such a checkpoint has one average",
        ),
    ],
)
def test_what_a_user_gets_wrong_is_one_sentence(command, says, capsys, tmp_path, monkeypatch):
    pytest.importorskip("jax")
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    assert says in refused(capsys, *command.split())
    assert os.listdir(tmp_path) == []  # noqa: PTH208
