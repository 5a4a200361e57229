"""Import of the authors' code from a checkout, with the shims that it needs on current JAX.

Their files are neither changed nor copied. Current JAX lacks names that they use, and their
train.py imports libraries that a training step does not call; both are patched in within the
context `official_code`. With the versions they were made for no name is missing.

It runs in two environments: this project's, and that of golden_writer.py, without this project. So
it imports the standard library only, and JAX when it is called.
"""

import contextlib
import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

NEEDED = ("meanflow.py", "train.py", "models/models_dit.py", "utils/ema_util.py")
MODULES = ("meanflow", "train", "models", "utils")  # the top-level names that theirs take
# fmt: off
# Keys of `method` that their MeanFlow takes; it refuses any other.
METHOD_FIELDS = {"noise_dist", "P_mean", "P_std", "data_proportion", "guidance_eq", "omega",
                 "kappa", "class_dropout_prob", "t_start", "t_end", "norm_p", "norm_eps"}
# fmt: on

# Library -> what theirs imports it for. None is called by forward, the train step or the sampler,
# so none is imported, installed or not: a mock stands in its place while theirs are imported.
UNCALLED = {
    "clu": "writes their TensorBoard logs",
    "diffusers": "the VAE; its Flax form is gone from today's version",
    "diffusers.models": "the VAE",
    "keras.preprocessing.image": "reads images for FID",
    "ml_collections": "names the type of a configuration",
    "PIL": "reads images",
    "requests": "downloads the weights of FID's network",
    "torch": "loads data",
    "torch.nn.functional": "resizes images for FID",
    "torch.utils.data": "loads data",
    "torch.utils.data.distributed": "loads data on several machines",
    "torchvision": "loads data",
    "torchvision.datasets.folder": "loads data",
    "tqdm": "shows progress",
}


class CheckoutError(Exception):
    """Checkout that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Shim:
    """Name that current JAX lacks, patched in while their code is imported and run."""

    name: str
    needed: Callable[[Any], bool]  # of the module jax
    place: Callable[[Any], contextlib.AbstractContextManager[Any]]


def _clip_lacks_its_names(jax: Any) -> bool:
    return "a_min" not in inspect.signature(jax.numpy.clip).parameters


def _place_clip(jax: Any) -> contextlib.AbstractContextManager[Any]:
    """Context that gives their meanflow.py a `jnp` whose clip has the old argument names."""

    def clip(array: Any, a_min: Any = None, a_max: Any = None) -> Any:
        return jax.numpy.clip(array, a_min, a_max)

    names = SimpleNamespace(**{**vars(jax.numpy), "clip": clip})
    return mock.patch.object(importlib.import_module("meanflow"), "jnp", names)


def _tree(name: str) -> Shim:
    """jax.tree_NAME, which is jax.tree.NAME now."""

    def place(jax: Any) -> contextlib.AbstractContextManager[Any]:
        return mock.patch.object(jax, f"tree_{name}", getattr(jax.tree, name), create=True)

    return Shim(f"jax.tree_{name}", lambda jax: not hasattr(jax, f"tree_{name}"), place)


SHIMS = (
    _tree("map"),  # utils/ema_util.py and train.py call it
    _tree("leaves"),  # train.py counts parameters with it
    # Their meanflow.py calls it; the arguments are called min and max now.
    Shim("jnp.clip(a_min=, a_max=)", _clip_lacks_its_names, _place_clip),
)


def refuse_others(checkout: Path) -> None:
    """Raise CheckoutError, naming a missing file, for a folder that is not a checkout."""
    missing = [name for name in NEEDED if not (checkout / name).is_file()]
    if missing:
        raise CheckoutError(
            f"{checkout} has no {missing[0]}: give a checkout of github.com/Gsunshine/meanflow"
        )


@contextlib.contextmanager
def official_code(checkout: Path) -> Iterator[tuple[ModuleType, tuple[Shim, ...]]]:
    """Context in which their modules can be imported by their own names, and traced.

    Yields:
        Their train.py, and the shims that this JAX needs.

    Raises:
        CheckoutError: when the folder is not a checkout, or its modules would hide loaded ones.
    """
    refuse_others(checkout)
    hidden = _loaded()
    if hidden:
        raise CheckoutError(
            f"a module named {min(hidden)} is loaded already, which theirs would hide"
        )
    jax = importlib.import_module("jax")
    needed = tuple(shim for shim in SHIMS if shim.needed(jax))
    with contextlib.ExitStack() as stack:
        stack.callback(_forget)
        stack.enter_context(mock.patch.object(sys, "path", [str(checkout.resolve()), *sys.path]))
        # Nothing is written into the checkout, compiled files of Python included.
        stack.enter_context(mock.patch.object(sys, "dont_write_bytecode", True))
        with _mocked(UNCALLED):
            train = importlib.import_module("train")
        for shim in needed:
            stack.enter_context(shim.place(jax))
        yield train, needed


@contextlib.contextmanager
def widened() -> Iterator[None]:
    """Context, inside `official_code`, that runs their code in float64: `float32` means float64.

    Their code names the dtype in three places: for draws and images, for the product of times and
    frequencies, and for the position embedding.
    """
    jax = importlib.import_module("jax")
    names = SimpleNamespace(**{**vars(jax.numpy), "float32": jax.numpy.float64})
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        with (
            mock.patch.object(importlib.import_module("models.models_dit"), "jnp", names),
            mock.patch.object(
                importlib.import_module("meanflow").MeanFlow, "dtype", jax.numpy.float64
            ),
        ):
            yield
    finally:
        jax.config.update("jax_enable_x64", before)


@contextlib.contextmanager
def _mocked(names: dict[str, str]) -> Iterator[None]:
    """Context with mocks in place of libraries; loaded ones are restored afterwards.

    Not mock.patch.dict, which would also unload modules imported within the context.
    """
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update({name: mock.MagicMock() for name in names})
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def _loaded() -> list[str]:
    return [name for name in sys.modules if name.split(".")[0] in MODULES]


def _forget() -> None:
    for name in _loaded():
        del sys.modules[name]


def commit_of(checkout: Path) -> str:
    """Commit of a checkout, "with changes" if files differ; "" if it is not a git repository.

    A folder inside another repository does not count.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(checkout), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != checkout.resolve():
            return ""
        changed = " with changes" if git("status", "--porcelain", "-uno") else ""
        return git("rev-parse", "--short=7", "HEAD") + changed
    except (OSError, subprocess.SubprocessError):
        return ""
