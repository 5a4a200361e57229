"""`meanflow config` and `meanflow train`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from impls.common.errors import UserError
from meanflow_repro.evaluation import print_scores
from meanflow_repro.options import Override, app, assignment


@app.command(name="config")
def config(
    source: Positional[str] = "digits",
    /,
    *,
    override: Override = (),
) -> int:
    """Print a configuration, complete, with the size of its network.

    Args:
        source: a preset's name or a YAML file.
        override: SECTION.KEY=VALUE, laid over the configuration; may be repeated.
    """
    from impls.common.config_files import effective_yaml, load_config
    from impls.common.parameters import num_parameters

    loaded = load_config(source, dict(map(assignment, override)))
    print(f"# {num_parameters(loaded.network):,} parameters")
    print(effective_yaml(loaded), end="")
    return 0


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
    from impls.interop.convert import implementation
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


@app.command(name="ablations")
def ablations(
    *,
    workdir: Path,
    framework: Literal["jax", "torch"] | None = None,
    presets: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (42, 43, 44),
    record: Path | None = None,
    samples: Path | None = None,
) -> int:
    """Train the paper's ablations on digits (presets ablation/*) and score them; most of an hour.

    A run that was stopped goes on, and one whose scores are recorded is passed over.

    Args:
        workdir: folder of the runs.
        framework: jax or torch; both side by side by default, on a core each.
        presets: which ones; all by default.
        seeds: of training.
        record: folder to append records of the scores to.
        samples: folder for pictures of samples of each preset.
    """
    from bench.studies import ablations as study
    from impls.common.config_files import load_config
    from impls.interop.convert import implementation
    from impls.trainer.generate import check_scored
    from meanflow_repro.options import check_writable

    chosen = presets or study.PRESETS
    for preset in chosen:
        check_scored(load_config(preset))
    for folder in (workdir, record, samples):
        check_writable(None, folder)
    if framework is None:
        options = {"--workdir": workdir, "--record": record, "--samples": samples}
        given = [word for name, path in options.items() if path for word in (name, str(path))]
        return study.side_by_side(
            [*given, "--presets", *chosen, "--seeds", *map(str, seeds)], workdir
        )
    implementation(framework).select_device("cpu")
    for line in study.study(framework, chosen, seeds, workdir, record, samples):
        print(line, flush=True)
    return 0
