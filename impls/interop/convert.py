"""Conversion of checkpoints between frameworks, imports, and export of weights."""

from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import save_file

from impls.common import parameters
from impls.common.config import Config
from impls.common.config_files import effective_yaml
from impls.common.errors import UserError
from impls.common.parameters import Parameters
from impls.common.types import CanonicalState
from impls.files import checkpoints
from impls.files.checkpoints import Checkpoint, CheckpointError
from impls.files.locks import locked
from impls.files.writing import whole, writable
from impls.frameworks import implementation
from impls.interop.official_checkpoint import load_official
from impls.interop.torch_weights import load_torch


def canonical_state(checkpoint: Checkpoint, config: Config | None = None) -> CanonicalState:
    """Complete training state of a checkpoint of either framework, in canonical form.

    Args:
        config: configuration to continue with; the checkpoint's own when absent.

    Raises:
        CheckpointError: for damaged files, or another network or other EMAs than configured.
    """
    module, own = implementation(checkpoint.framework), checkpoint.config
    if config is not None and config.network != own.network:
        raise CheckpointError(
            f"{checkpoint.path} holds another network: {own.network}, expected {config.network}"
        )
    if config is not None and config.training.ema_more != own.training.ema_more:
        raise CheckpointError(
            f"{checkpoint.path} holds EMAs for training.ema_more"
            f" {list(own.training.ema_more)}, expected {list(config.training.ema_more)}"
        )
    state: CanonicalState = module.export_state(
        own, checkpoints.restore(checkpoint, module.restore_checkpoint, own)
    )
    return state


def convert(checkpoint: Checkpoint, framework: str, output: Path) -> Checkpoint:
    """Convert a checkpoint to a framework, bit for bit: parameters, EMAs and moments.

    Args:
        output: run folder; training resumes there.

    Raises:
        CheckpointError: when the output holds a run already, or cannot be written.
    """
    return _write(lambda: canonical_state(checkpoint), checkpoint.config, framework, output)


def import_official(path: Path, config: Config, framework: str, output: Path) -> Checkpoint:
    """Convert a checkpoint of the authors' code to a framework, bit for bit.

    Args:
        path: the folder checkpoint_<step>, its parent, or its msgpack file.
        config: configuration to continue with; its network must be that of the checkpoint.
        output: run folder; training resumes there.

    Raises:
        UserError: for a file that is not an official checkpoint or of another network, or when the
            output holds a run already, or cannot be written.
    """
    return _import(lambda: load_official(path, config), config, framework, output)


def import_torch(
    file: Path, config: Config, framework: str, output: Path, rename: Sequence[tuple[str, str]] = ()
) -> Checkpoint:
    """Convert a checkpoint of a PyTorch port to a framework, see `impls.interop.torch_weights`.

    Args:
        output: run folder; training continues there with a fresh optimizer.

    Raises:
        UserError: for a file that is not a checkpoint or of another network, or when the output
            holds a run already, or cannot be written.
    """
    return _import(lambda: load_torch(file, config, rename), config, framework, output)


def _import(
    load: Callable[[], CanonicalState], config: Config, framework: str, output: Path
) -> Checkpoint:
    """Write an imported state as the checkpoint of a run."""
    if config.training.ema_more:
        raise UserError("such a checkpoint has one EMA: leave training.ema_more empty")
    return _write(load, config, framework, output)


def _write(
    load: Callable[[], CanonicalState], config: Config, framework: str, output: Path
) -> Checkpoint:
    _refuse_run(output)
    module, found = implementation(framework), load()
    state = module.load_state(config, found)
    with locked(output):
        _refuse_run(output)  # of another process, meanwhile
        written = checkpoints.write(
            output, framework, found.step, config, lambda path: module.save_checkpoint(path, state)
        )
    return checkpoints.find(written)


def _refuse_run(output: Path) -> None:
    if checkpoints.newest(output) is not None:
        raise CheckpointError(f"{output} holds checkpoints already: give another --output")


def chosen_weights(checkpoint: Checkpoint, which: str) -> Parameters:
    """Weights of a checkpoint, in canonical form.

    Args:
        which: "ema" (the EMA of decay ema_val), "params" (the raw parameters), or the decay of one
            of the stored EMAs.

    Raises:
        UserError: for an EMA that is not stored.
    """
    state, training = canonical_state(checkpoint), checkpoint.config.training
    if which == "params":
        return state.params
    if which == "ema":
        return state.ema_params
    decays = training.ema_val, *training.ema_more
    averages = dict(zip(decays, (state.ema_params, *state.ema_more), strict=True))
    try:
        return averages[float(which)]
    except (ValueError, KeyError) as error:
        listed = ", ".join(f"{decay:g}" for decay in averages)
        raise UserError(f"--weights is {which}, expected ema, params or one of {listed}") from error


def write_safetensors(checkpoint: Checkpoint, which: str, file: Path) -> None:
    """Export weights under the names and layouts of facebookresearch/DiT, float32.

    The configuration and the step are stored in the file's metadata.
    """
    weights = chosen_weights(checkpoint, which)
    tensors = parameters.to_torch(checkpoint.config.network, weights)
    about = {"step": str(checkpoint.step), "weights": which}
    about["config"] = effective_yaml(checkpoint.config)
    with writable(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as partial:
            try:
                save_file(tensors, partial, about)
            except SafetensorError as error:  # of a full disk too
                raise OSError(str(error)) from error
