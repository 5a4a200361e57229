"""`meanflow convert`."""

from pathlib import Path

from tyro.conf import UseAppendAction

from impls.common.errors import UserError
from meanflow_repro.options import Checksum, Framework, Override, app, overrides


@app.command(name="convert")
def convert(
    *,
    checkpoint: Path | None = None,
    from_official: Path | None = None,
    from_torch: Path | None = None,
    rename: UseAppendAction[tuple[str, ...]] = (),
    config: str = "mf_b4",
    override: Override = (),
    framework: Framework | None = None,
    output: Path | None = None,
    safetensors: Path | None = None,
    weights: str = "ema",
    checksum: Checksum = True,
) -> int:
    """Convert a checkpoint to the other framework, bit for bit, or export its weights.

    Args:
        checkpoint: a run's folder, or that of one of its checkpoints.
        from_official: import a checkpoint of the authors' code, or a folder that holds one.
        from_torch: import a .pt, .pth or .safetensors file with the tensor names of DiT's PyTorch
            code.
        rename: OLD=NEW replaces a prefix of tensor names in that file; may be repeated.
        config: configuration of the imported weights: a preset's name or a YAML file.
        framework: framework to write the checkpoint for.
        output: run folder to write the checkpoint to; training resumes there.
        safetensors: file to export weights to, under the tensor names of facebookresearch/DiT.
        weights: weights to export: ema, params (the raw parameters), or the decay of a stored EMA.
    """
    from impls.common.config_files import load_config
    from impls.files import checkpoints
    from impls.interop import convert as converting

    if (framework is None) != (output is None):
        raise UserError("--framework and --output belong together: give both, or --safetensors")
    given = [path for path in (checkpoint, from_official, from_torch) if path is not None]
    if len(given) != 1:
        raise UserError("give either --checkpoint, --from-official or --from-torch")
    if output is None and (safetensors is None or checkpoint is None):
        raise UserError("nothing to write: give --framework and --output, or --safetensors")
    if checkpoint is not None:
        found = checkpoints.find(checkpoint, checksum=checksum)
    loaded = load_config(config, overrides(override))
    if framework is not None and output is not None:
        if checkpoint is not None:
            found = converting.convert(found, framework, output)
        elif from_official is not None:
            found = converting.import_official(from_official, loaded, framework, output)
        elif from_torch is not None:
            renamed = [_beginnings(rule) for rule in rename]
            found = converting.import_torch(from_torch, loaded, framework, output, renamed)
        print(f"wrote {found.path}")
    if safetensors is not None:
        converting.write_safetensors(found, weights, safetensors)
        print(f"wrote {safetensors}")
    return 0


def _beginnings(rule: str) -> tuple[str, str]:
    old, sign, new = rule.partition("=")
    if not sign or not old:
        raise UserError(f"--rename is {rule}, expected OLD=NEW, two prefixes of tensor names")
    return old, new
