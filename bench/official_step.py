"""Training step of the authors' code, from a user's checkout, on current JAX.

Their files are used unmodified: names that current JAX lacks are patched in while their code is
imported and traced (verify/official/checkout.py).
"""

import contextlib
import importlib
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import optax

from bench.steps import make_batch
from impls.common.config import Config
from impls.common.errors import UserError
from impls.common.types import Cost
from verify.official.checkout import METHOD_FIELDS, CheckoutError, official_code


class OfficialStep:
    """`train_step_with_vae` of their train.py under their pmap, with a VAE that passes latents on.

    It draws its random numbers inside the step, as their code does; the bench's own steps take them
    as arguments.

    Raises:
        UserError: when the folder is not a checkout of the authors' code.
    """

    def __init__(self, checkout: Path, config: Config) -> None:
        self.config = config
        batch = make_batch(config)
        with _code_of(checkout) as train, jax.enable_x64(False):
            self._state = _on_one_device(_initial_state(train, config))
            self._batch = _on_one_device({"image": batch.images, "label": batch.labels})
            begin = time.perf_counter()
            self._step = (
                jax.pmap(_train_step(train, config), "batch")
                .lower(self._state, self._batch)
                .compile()
            )
            seconds = time.perf_counter() - begin
        counts, memory = self._step.cost_analysis(), self._step.memory_analysis()
        peak = sum(
            getattr(memory, f"{kind}_size_in_bytes") for kind in ("argument", "output", "temp")
        )
        self.cost = Cost(counts["flops"], counts["bytes accessed"], peak, seconds)

    def __call__(self) -> None:
        """Run one step, until the device is done."""
        self._state, metrics = self._step(self._state, self._batch)
        jax.block_until_ready((self._state, metrics))


def lower_official(checkout: Path, config: Config, ahead: Any, target: Any) -> Any:
    """The same step, lowered for a device that is not attached.

    Args:
        ahead: the module impls/meanflow_jax/ahead.py, whose `Lowered` is returned.
        target: its `Target`.

    Raises:
        UserError: when the folder is not a checkout of the authors' code.
    """
    with _code_of(checkout) as train, jax.enable_x64(False):
        state = jax.eval_shape(lambda: _initial_state(train, config))
        _, batch, _ = ahead.step_shapes(config)
        arguments = state, {"image": batch.images, "label": batch.labels}
        # What their pmap makes of one device: each array whole, and an axis to average over.
        mesh = jax.sharding.Mesh([target.device], "batch")
        every = jax.sharding.PartitionSpec()
        step = jax.shard_map(
            _train_step(train, config),
            mesh=mesh,
            in_specs=every,
            out_specs=every,
            check_vma=False,
        )
        return ahead.lower(step, arguments, target)


def _train_step(train: Any, config: Config) -> Any:
    """Their training step as a function of state and batch, for a mapped axis "batch"."""
    return partial(
        train.train_step_with_vae,
        rng_init=jax.random.key(0),
        config=None,
        lr=config.training.learning_rate,
        ema_fn=lambda _step: config.training.ema_val,
        latent_mnger=SimpleNamespace(cached_encode=lambda latents, _key: latents),
    )


def _on_one_device(tree: Any) -> Any:
    """Arrays with pmap's leading axis, of one device."""
    return jax.tree.map(lambda array: jnp.asarray(array)[None], tree)


def _initial_state(train: Any, config: Config) -> Any:
    """Initial training state of the authors' code."""
    size, method = config.network, config.method
    dit: Any = importlib.import_module("models.models_dit")
    fields = (
        "input_size", "patch_size", "in_channels", "hidden_size", "depth", "num_heads", "mlp_ratio",
        "num_classes",
    )  # fmt: skip
    dit.DiT_bench = partial(dit.DiT, **{name: getattr(size, name) for name in fields})
    settings = method.model_dump(include=METHOD_FIELDS)
    model = train.MeanFlow(
        model_str="DiT_bench", model_config={}, num_classes=size.num_classes, **settings
    )
    image = jnp.ones((1, size.input_size, size.input_size, size.in_channels))
    one = jnp.ones((1,), int)
    params = jax.jit(model.init)({"params": jax.random.key(0)}, image, one, one)["params"]
    training = config.training
    return train.TrainState.create(
        apply_fn=partial(model.apply, method=model.forward),
        params=params,
        ema_params=params,
        tx=optax.adamw(training.learning_rate, weight_decay=0, b2=training.adam_b2),
    )


@contextlib.contextmanager
def _code_of(checkout: Path) -> Iterator[ModuleType]:
    """Context in which the authors' train.py can be imported and traced."""
    try:
        with official_code(checkout) as (train, _):
            yield train
    except CheckoutError as error:
        raise UserError(f"--against official=PATH: {error}") from error
