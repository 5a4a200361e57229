"""Stand-in for the authors' train.py: their train step, under the names and arguments of theirs.

Like theirs it imports libraries that a step does not call, and uses names that JAX has removed.
Of our own writing: with the other files of this folder it stands in for a checkout
of github.com/Gsunshine/meanflow where tests run commands that take one.
"""

# ruff: noqa: TID251  theirs draws for itself

from typing import Any

import jax
import ml_collections
import torch.utils.data
from clu import metric_writers
from flax.training import train_state
from meanflow import MeanFlow, generate  # noqa: F401
from utils.ema_util import ema_schedules, update_ema  # noqa: F401


class TrainState(train_state.TrainState):
    ema_params: Any


def create_writer(config: ml_collections.ConfigDict, data: torch.utils.data.DataLoader) -> Any:
    return metric_writers.create_default_writer(config, data)


def train_step_with_vae(state, batch, rng_init, config, lr, ema_fn, latent_mnger):
    rng = jax.random.fold_in(rng_init, state.step)
    rng, rng_latents = jax.random.split(jax.random.fold_in(rng, jax.lax.axis_index("batch")))
    images = latent_mnger.cached_encode(batch["image"], rng_latents)

    def loss_of(params):
        inputs = {"imgs": images, "labels": batch["label"]}
        return state.apply_fn({"params": params}, **inputs, rngs={"gen": rng})

    gradients, losses = jax.grad(loss_of, has_aux=True)(state.params)
    new = state.apply_gradients(grads=jax.lax.pmean(gradients, "batch"))
    average = update_ema(new.ema_params, new.params, ema_fn(state.step))
    metrics = jax.tree_map(lambda a: a.reshape(-1), jax.lax.all_gather(losses, "batch"))
    return new.replace(ema_params=average), {**metrics, "lr": lr}
