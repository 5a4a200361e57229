"""`meanflow train`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from impls.common.errors import UserError
from meanflow_repro.evaluate import print_scores
from meanflow_repro.options import Override, app, assignment


@app.command(name="train")
def train(
    *,
    framework: Literal["jax", "torch"],
    workdir: Path,
    config: str = "digits",
    device: str = "auto",
    override: Override = (),
) -> int:
    """Train, or go on from the newest checkpoint of the run's folder; then print the scores.

    Any key of the configuration is an option too: --training.num-steps 200.

    Args:
        framework: jax or torch.
        workdir: folder of the run: checkpoints, TensorBoard, configuration.
        config: a preset's name or a YAML file.
        device: auto (a GPU or TPU where there is one), cpu, cuda, …
        override: SECTION.KEY=VALUE, laid over the configuration; may be repeated.
    """
    from impls.common.config_files import load_config
    from impls.files import checkpoints
    from impls.frameworks import implementation
    from impls.trainer.train import train as run_training

    loaded = load_config(config, dict(map(assignment, override)))
    module = implementation(framework)
    module.select_device(device)
    if loaded.eval_only:
        if loaded.load_from is None:
            raise UserError("eval_only is true, but load_from names no checkpoint to evaluate")
        checkpoint = checkpoints.find(Path(loaded.load_from))
        print_scores(checkpoint, framework, 1000, None, 0)
        return 0
    ending = run_training(module, framework, loaded, workdir)
    if loaded.dataset.name == "digits" and ending.finished:
        print_scores(ending.checkpoint, framework, 1000, None, 0)
    return 0
