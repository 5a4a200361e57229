"""The objective under DistributedDataParallel: its gradients are those of one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NUM_PROCESSES = 2
PROCESS = """
import os, sys
import numpy as np
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from bench.forms import FORMS
from bench.steps import make_batch
from impls import meanflow_torch as mf
from impls.common.config_files import load_config
from impls.common.draws import training_draws
from impls.common.dtypes import as_dtype
from impls.common.types import Batch, Draws
from verify.cases import perturbed_parameters
from verify.compare import tensor_errors

form, folder = sys.argv[1:]
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
config = load_config("digits", {"training.batch_size": 16, "model.depth": 1} | FORMS[form])
canonical, batch, draws = as_dtype(
    (perturbed_parameters(config, 0), make_batch(config), training_draws(config, 0, 0)), np.float64
)


class Objective(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mf.DiT(config.network).double()
        self.net.load_state_dict(mf.load_params(config, canonical))

    def forward(self, batch, draws):
        return mf.loss(config, dict(self.net.named_parameters()), batch, draws).total


dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=size)
model = DistributedDataParallel(Objective())
rows = slice(rank * 16 // size, (rank + 1) * 16 // size)
part = mf.put((Batch(*(x[rows] for x in batch)), Draws(*(x[rows] for x in draws))))
model(*part).backward()
shared = {name: tensor.grad for name, tensor in model.module.net.named_parameters()}

parts = config.model_copy(
    update={"training": config.training.model_copy(update={"num_microbatches": size})}
)
_, alone = mf.accumulate(parts, mf.load_params(config, canonical), *mf.put((batch, draws)))
dist.destroy_process_group()
for name, error in tensor_errors(mf.get(shared), mf.get(alone)):
    assert error < 1e-12, (name, error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["guided sparse", "guided dense", "unguided sparse"])
def test_processes_share_the_gradients_of_their_parts(form, tmp_path):
    """Each process has its own rows of r = t, and the average over them is what one would make."""
    pytest.importorskip("torch")
    about = os.environ | {"WORLD_SIZE": str(NUM_PROCESSES), "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, form, str(tmp_path)],
            env=about | {"RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(NUM_PROCESSES)
    ]
    for process in processes:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
