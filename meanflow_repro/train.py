"""`meanflow train`."""

import signal
import sys
from pathlib import Path

from impls.common.errors import DataError, UserError
from meanflow_repro.evaluate import print_scores
from meanflow_repro.options import Checksum, Device, Framework, Override, app, overrides


@app.command(name="train")
def train(
    *,
    framework: Framework,
    workdir: Path,
    config: str = "digits",
    device: Device = "auto",
    load_from: str | None = None,
    eval_only: bool = False,
    override: Override = (),
    checksum: Checksum = True,
) -> int:
    """Train, or resume from the run's newest checkpoint; digits and MNIST are scored at the end.

    SIGINT (Ctrl-C) and SIGTERM end the run after the current step, with a checkpoint saved and
    status 130 or 143.

    Any key of the configuration is an option too: --training.num-steps 200.

    Args:
        framework: jax or torch.
        workdir: folder of the run: checkpoints, TensorBoard events, configuration.
        config: a preset's name or a YAML file.
        load_from: checkpoint to start from, of either framework.
        eval_only: print the scores of that checkpoint (digits, MNIST) instead of training.
    """
    from impls.common.config_files import load_config
    from impls.common.paths import expanded
    from impls.fid import small_images
    from impls.files import checkpoints
    from impls.frameworks import implementation
    from impls.trainer.train import train as run_training

    changes = overrides(override, load_from=load_from, eval_only=eval_only or None)
    loaded = load_config(config, changes)
    module = implementation(framework)
    module.select_device(device)
    if loaded.eval_only:
        if loaded.load_from is None:
            raise UserError("eval_only is true, but load_from names no checkpoint to evaluate")
        found = checkpoints.find(expanded(loaded.load_from), checksum=checksum)
        print_scores(found, framework)
        return 0
    ending = run_training(module, framework, loaded, workdir, checksum=checksum)
    if ending.signal:
        name, saved = signal.Signals(ending.signal).name, ending.checkpoint.path
        print(
            f"meanflow: {name} ended the run, which is saved in {saved}: resume it with the same"
            " command",
            file=sys.stderr,
        )
        return 128 + ending.signal
    if loaded.dataset.kind in small_images.DATA_SETS and ending.finished:
        try:
            small_images.check(loaded.dataset)
        except DataError as error:
            print(f"meanflow: the run is not scored: {error}", file=sys.stderr)
        else:
            print_scores(ending.checkpoint, framework)
    return 0
