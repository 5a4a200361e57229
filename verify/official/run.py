"""Evaluation of the authors' forward pass, JVP, gradient, training step and sampler.

golden_writer.py stores the results. Both run as scripts in the environment of the authors' code,
without this project, so they import each other by their bare names.
"""

import contextlib
import importlib
import types
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax

Arrays = dict[str, Any]
traverse_util: Any = importlib.import_module("flax.traverse_util")  # has no types

DRAW_NAMES = ("draw_t_raw", "draw_r_raw", "draw_e", "draw_drop_uniform")  # order of use


def official_model(name: str, case: Arrays) -> Any:
    """The authors' MeanFlow module at the sizes and settings of one case.

    MeanFlow looks its network up by name in models_dit and passes it no sizes, so their DiT class
    with the sizes filled in is registered there under a name of its own.
    """
    dit = importlib.import_module("models.models_dit")
    setattr(dit, f"DiT_golden_{name}", partial(dit.DiT, **case["model"]))
    return importlib.import_module("meanflow").MeanFlow(
        model_str=f"DiT_golden_{name}",
        model_config={},
        num_classes=case["model"]["num_classes"],
        **case["method"],
    )


@contextlib.contextmanager
def observed_forward(noise_dist: str, given: Arrays | None = None) -> Iterator[Arrays]:
    """Context that observes one pass through the authors' objective and injects given draws.

    Yields a dictionary that fills with the four draws and with inputs, tangent and results of the
    JVP. Only the name `jax` inside their meanflow.py is changed: flax calls jax.random too, to
    compare the shapes of parameters with those of fresh ones.
    """
    raw = "uniform" if noise_dist == "uniform" else "normal"
    awaited = list(zip(DRAW_NAMES, (raw, raw, "normal", "uniform"), strict=True))
    record: Arrays = {}

    def draw(called: str, key: Any, shape: Any, dtype: Any = jnp.float32) -> Any:
        assert awaited, f"forward made a fifth draw, jax.random.{called}"
        name, expected = awaited.pop(0)
        assert called == expected, f"{name} came from {called}, expected {expected}"
        own = getattr(jax.random, called)(key, shape, dtype)
        record[name] = own if given is None else jnp.asarray(given[name])
        assert record[name].shape == own.shape, f"{name} should have shape {own.shape}"
        return record[name]

    def jvp(function: Any, primals: Any, tangents: Any) -> Any:
        u, du_dt = jax.jvp(function, primals, tangents)
        record.update(zip(("jvp_z", "jvp_t", "jvp_r"), primals, strict=True))
        record.update(jvp_tangent=tangents[0], jvp_u=u, jvp_du_dt=du_dt)
        return u, du_dt

    draws = {name: partial(draw, name) for name in ("normal", "uniform")}
    watched = types.SimpleNamespace(**{**vars(jax), "jvp": jvp})
    watched.random = types.SimpleNamespace(**{**vars(jax.random), **draws})
    with mock.patch.object(importlib.import_module("meanflow"), "jax", watched):
        yield record
    assert not awaited, f"forward never drew {awaited}"


def forward(model: Any, params: Any, x: Any, y: Any, key: Any) -> Any:
    """Loss and monitored losses of the authors' objective: (loss, {loss, v_loss})."""
    return model.apply({"params": params}, x, y, method="forward", rngs={"gen": key})


def draws_of(model: Any) -> Any:
    """Function of params, x, y and a key that returns the authors' objective's own draws."""

    def drawn(params: Any, x: Any, y: Any, key: Any) -> Arrays:
        with observed_forward(model.noise_dist) as record:
            forward(model, params, x, y, key)
        return {name: record[name] for name in DRAW_NAMES}

    return jax.jit(drawn)  # computes only the draws


def sample(model: Any, params: Any, noise: Any, labels: Any, times: Any) -> Any:
    """Samples by the authors' `generate`, given the noise and labels that it would draw."""
    module = importlib.import_module("meanflow")
    rows, size, _, channels = noise.shape
    sizes = {"num_classes": model.num_classes, "image_size": size, "image_channels": channels}
    config = types.SimpleNamespace(
        sampling=types.SimpleNamespace(num_steps=len(times) - 1),
        dataset=types.SimpleNamespace(**sizes),
    )
    timed = model.clone(sampling_timesteps=jnp.asarray(times))

    def generated(params: Any, noise: Any, labels: Any) -> Any:
        given = {"normal": lambda *_, **__: noise, "randint": lambda *_: labels}
        watched = types.SimpleNamespace(**vars(jax))
        watched.random = types.SimpleNamespace(**{**vars(jax.random), **given})
        with mock.patch.object(module, "jax", watched):
            return module.generate({"params": params}, timed, jax.random.key(0), rows, config)

    return jax.jit(generated)(params, jnp.asarray(noise), jnp.asarray(labels))


def evaluate(model: Any, named_params: Arrays, inputs: Arrays, key: Any = None) -> Arrays:
    """Arrays of one golden case from x, y, the draws, sample_noise and sample times.

    Without draws the objective makes its own with the key.
    """
    params, x, y = as_tree(named_params), inputs["x"], inputs["y"]
    draws = {name: inputs[name] for name in DRAW_NAMES} if key is None else None

    def objective(params: Any, x: Any, y: Any, draws: Arrays | None) -> Any:
        with observed_forward(model.noise_dist, draws) as record:
            loss, losses = forward(model, params, x, y, jax.random.key(0) if key is None else key)
        return loss, (record, losses)

    differentiated = jax.jit(jax.value_and_grad(objective, has_aux=True))
    (loss, (record, losses)), tree = differentiated(params, x, y, draws)
    outputs = {**inputs, **record, "loss": loss, "v_loss": losses["v_loss"]}
    gradients = {name: np.asarray(value) for name, value in sorted(as_named(tree).items())}
    outputs["grad_names"] = np.array(list(gradients))
    outputs["grad_norms"] = np.array(
        [np.linalg.norm(value.astype(np.float64)) for value in gradients.values()]
    )
    outputs.update({f"grad/{name}": value for name, value in gradients.items()})
    noise = inputs["sample_noise"]
    for name in [name.removesuffix("_times") for name in inputs if name.endswith("_times")]:
        outputs[name] = sample(model, params, noise, y[: len(noise)], inputs[f"{name}_times"])
    return {name: np.asarray(value) for name, value in outputs.items()}


def train(model: Any, named_params: Arrays, training: Arrays, steps: list[Arrays]) -> Arrays:
    """Losses, final parameters and EMA of the authors' train step over the given steps.

    Composed here: optimizer and TrainState, as in their create_train_state but starting at the
    given parameters, with the EMA a copy of them; a latent manager that passes latents on instead
    of sampling them. Their code unmodified: train_step_with_vae under pmap on one device (gradient
    at the old parameters, Adam, then the EMA of the new ones) and ema_schedules.
    """
    module, params = importlib.import_module("train"), as_tree(named_params)
    state = module.TrainState.create(
        apply_fn=partial(model.apply, method="forward"),
        params=params,
        ema_params=params,
        tx=optax.adamw(
            training["learning_rate"],
            b1=training["adam_b1"],
            b2=training["adam_b2"],
            eps=training["adam_eps"],
            weight_decay=training["weight_decay"],
        ),
    )
    schedule = {"ema_type": "const", "ema_val": training["ema_decay"]}
    settings: Arrays = {
        "rng_init": jax.random.key(0),
        "config": None,
        "lr": training["learning_rate"],
        "ema_fn": module.ema_schedules(types.SimpleNamespace(training=schedule)),
        "latent_mnger": types.SimpleNamespace(cached_encode=lambda latents, rng: latents),  # noqa: ARG005
    }

    def device_step(state: Any, batch: Arrays, draws: Arrays) -> Any:
        with observed_forward(model.noise_dist, draws):
            return module.train_step_with_vae(state, batch, **settings)

    one_device = jax.pmap(device_step, in_axes=(None, 0, 0), axis_name="batch")
    arrays: Arrays = {}
    for i, step in enumerate(steps):
        batch = {"image": step["latents"][None], "label": step["y"][None]}
        draws = {name: step[name][None] for name in DRAW_NAMES}
        replicas, metrics = one_device(state, batch, draws)
        state = jax.tree_util.tree_map(lambda a: a[0], replicas)
        arrays.update({f"step{i}/{name}": value for name, value in step.items()})
        arrays[f"step{i}/loss"] = metrics["loss"].ravel()[0]
    for kind, tree in (("params", state.params), ("ema", state.ema_params)):
        arrays.update({f"{kind}/{name}": value for name, value in as_named(tree).items()})
    return {name: np.asarray(value) for name, value in arrays.items()}


def as_tree(named: Arrays) -> Any:
    """Nested parameters from parameters by official name."""
    tree = traverse_util.unflatten_dict(dict(named), sep="/")
    return jax.tree_util.tree_map(jnp.asarray, tree)


def as_named(tree: Any) -> Arrays:
    """Parameters by official name from nested parameters."""
    named: Arrays = traverse_util.flatten_dict(tree, sep="/")
    return named
