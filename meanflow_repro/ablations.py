"""`meanflow ablations`."""

from pathlib import Path

from meanflow_repro.options import Framework, ScoreRecords, app, check_seeds, check_writable


@app.command(name="ablations")
def ablations(
    *,
    workdir: Path,
    framework: Framework | None = None,
    presets: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (42, 43, 44),
    record: ScoreRecords = None,
    samples: Path | None = None,
) -> int:
    """Train the paper's ablations on digits (presets ablation/*) and score them: up to an hour.

    Interrupted runs resume; runs whose scores are recorded are skipped.

    Args:
        workdir: folder of the runs.
        framework: jax or torch; by default both at the same time, on one core each.
        presets: presets to train; all by default.
        seeds: training seeds.
        samples: folder for grids of samples, one PNG file for each preset.
    """
    from bench.studies import ablations as study
    from impls.common.config_files import load_config
    from impls.fid import small_images
    from impls.frameworks import implementation

    chosen = presets or study.PRESETS
    for preset in chosen:
        small_images.check(load_config(preset).dataset)
    check_seeds(seeds=seeds)
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
