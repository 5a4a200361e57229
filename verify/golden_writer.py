"""Run the authors' MeanFlow code and write what it computes as golden files.

    python verify/golden_writer.py --official PATH --output FOLDER --golden FOLDER
    python verify/golden_writer.py --official PATH --output FOLDER --cases CASES.json --seed N

PATH is a checkout of the authors' code (Gsunshine/meanflow, commit d70cb55), used unmodified.
`meanflow verify --official` runs this file too, in this project's environment, where it differs by
what verify/official_checkout.py puts in place.
With --golden, every array of an existing folder is computed again from the inputs, draws and
parameters stored in it, and compared: exit 1 when one differs by more than TOLERANCE, or
TRAINING_TOLERANCE after training steps.
With --cases, new inputs, draws and parameters are made for the sizes and settings in CASES.json;
of several such files each gets a folder of its own within FOLDER.

It runs in an environment of its own (verify/golden_requirements.txt), without this project.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import sys
import types
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
from official_checkout import CheckoutError, commit_of, official_code

Arrays = dict[str, Any]
traverse_util: Any = importlib.import_module("flax.traverse_util")  # has no types

JAX_VERSION = "0.4.27"
TOLERANCE = 1e-5  # on max|a - b| / max|b|; seven recomputed cases were bit-equal
# Wider, as Adam divides rounding by nearly zero gradients (that of a key bias is rounding alone):
# five steps
# compiled in different ways differ by 3e-5. Measured mistakes: beta2 0.999 for 0.95 makes 1e-3,
# an EMA of the parameters before the update 5e-3.
TRAINING_TOLERANCE = 1e-4
DRAW_NAMES = ("draw_t_raw", "draw_r_raw", "draw_e", "draw_drop_uniform")  # order of use
SAMPLE_TIMES = {"s1": (1.0, 0.0), "s2": (1.0, 0.5, 0.0), "s4": (1.0, 0.8, 0.55, 0.2, 0.0)}
INPUT_NAMES = ("x", "y", *DRAW_NAMES, "sample_noise", *(f"sample_{k}_times" for k in SAMPLE_TIMES))
# fmt: off
MODEL_FIELDS = {"input_size", "patch_size", "in_channels", "hidden_size", "depth", "num_heads",
                "mlp_ratio", "num_classes"}
METHOD_FIELDS = {"noise_dist", "P_mean", "P_std", "data_proportion", "guidance_eq", "omega",
                 "kappa", "class_dropout_prob", "t_start", "t_end", "norm_p", "norm_eps"}
TRAINING = {"learning_rate": 1e-3, "adam_b1": 0.9, "adam_b2": 0.95, "adam_eps": 1e-8,
            "weight_decay": 0.0, "ema_decay": 0.9}
# fmt: on


class UsageError(Exception):
    """Something the user can put right, said in one sentence."""


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
    """Watch one pass through the authors' objective, and replace its draws by given ones.

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


def make_draws(model: Any, params: Any, x: Any, y: Any, key: Any) -> Arrays:
    """The draws the authors' objective makes by itself under one key."""

    def drawn(params: Any, x: Any, y: Any, key: Any) -> Arrays:
        with observed_forward(model.noise_dist) as record:
            forward(model, params, x, y, key)
        return {name: record[name] for name in DRAW_NAMES}

    # Compiled, as only the draws are then computed.
    return {name: np.asarray(a) for name, a in jax.jit(drawn)(params, x, y, key).items()}


def sample(model: Any, params: Any, noise: Any, labels: Any, times: Any) -> Any:
    """Samples by the authors' `generate`, which is given the noise and labels that it would draw."""
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


def evaluate(model: Any, named_params: Arrays, inputs: Arrays) -> Arrays:
    """Every array of one golden case from x, y, the draws, sample_noise and sample times."""
    params, key = as_tree(named_params), jax.random.key(0)
    x, y, draws = inputs["x"], inputs["y"], {name: inputs[name] for name in DRAW_NAMES}

    def objective(params: Any, x: Any, y: Any, draws: Arrays) -> Any:
        with observed_forward(model.noise_dist, draws) as record:
            loss, losses = forward(model, params, x, y, key)
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
    given parameters, the EMA as a copy of them; a latent manager that hands the latents through
    instead of sampling them. Theirs as it stands: train_step_with_vae under pmap on one device
    (gradient at the old parameters, Adam, then the EMA of the new ones) and ema_schedules.
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


def difference(got: Any, stored: Any) -> float:
    """Largest relative difference, max|got - stored| / max|stored|; infinite if incomparable."""
    if got.shape != stored.shape:
        return float("inf")
    if stored.dtype.kind not in "fc":
        return 0.0 if np.array_equal(got, stored) else float("inf")
    scale = np.max(np.abs(stored)) or 1.0  # all zero: the absolute difference
    return float(np.max(np.abs(got - stored)) / scale)


def agrees(name: str, got: Arrays, stored: Arrays, tolerance: float) -> bool:
    """Whether every stored array is recomputed within the tolerance; prints the worst."""
    differences = {key: difference(got[key], stored[key]) for key in stored}
    worst = max(differences, key=lambda k: np.nan_to_num(differences[k], nan=np.inf))
    within = all(value <= tolerance for value in differences.values())  # NaN is not within
    verdict = "agrees" if within else "DIFFERS"
    print(f"{name}: {differences[worst]:.1e} at {worst}, allowed {tolerance:.0e}: {verdict}")
    return within


def recompute(golden: Path, output: Path) -> bool:
    """Compute an existing golden folder again into another; whether all of it agrees."""
    if golden.resolve() == output.resolve():
        raise UsageError(f"--output {output} is the golden folder itself: name another one.")
    cases, params = read_cases(golden / "cases.json"), read_arrays(golden / "params.npz")
    write_shared(output, cases, params)
    agreements = []
    for name, case in cases.items():
        path = golden / f"case_{name}.npz"
        stored = read_arrays(path)
        if missing := [key for key in INPUT_NAMES if key not in stored]:
            raise UsageError(f"{path} lacks {', '.join(missing)}: it cannot be computed again.")
        inputs = {key: stored.pop(key) for key in INPUT_NAMES}
        computed = evaluate(official_model(name, case), params, inputs)
        outputs = {key: computed[key] for key in stored}
        np.savez(output / f"case_{name}.npz", **inputs, **outputs)
        agreements.append(agrees(name, outputs, stored, TOLERANCE))
    for path in sorted(golden.glob("train_*_steps.npz")):
        settings, stored = read_json(path.with_suffix(".json")), read_arrays(path)
        num_steps = sum(key.endswith("/latents") for key in stored)
        steps = [
            {key: stored[f"step{i}/{key}"] for key in ("latents", "y", *DRAW_NAMES)}
            for i in range(num_steps)
        ]
        arrays = train(official_model(path.stem, settings), params, settings["training"], steps)
        write_training(output, settings, arrays, num_steps)
        agreements.append(agrees(path.stem, arrays, stored, TRAINING_TOLERANCE))
    return all(agreements)


def make_inputs(rng: np.random.Generator, case: Arrays, batch: int, times: Arrays) -> Arrays:
    """Images (normal), labels, sample_noise and sample times of a new case."""
    model = case["model"]
    shape = (model["input_size"], model["input_size"], model["in_channels"])
    return {
        "x": rng.standard_normal((batch, *shape), np.float32),
        "y": rng.integers(model["num_classes"], size=batch, dtype=np.int32),
        "sample_noise": rng.standard_normal((min(batch, 4), *shape), np.float32),
        **{f"sample_{k}_times": np.array(v, np.float32) for k, v in times.items()},
    }


def make_params(cases: Arrays, seed: int) -> Arrays:
    """Parameters by official name: the authors' initialisation plus 0.05 normal noise."""

    def initial(name: str) -> Any:
        size, channels = (cases[name]["model"][k] for k in ("input_size", "in_channels"))
        model, one = official_model(name, cases[name]), jnp.ones((1,), jnp.int32)
        image = jnp.ones((1, size, size, channels))
        return as_named(model.init({"params": jax.random.key(seed)}, image, one, one)["params"])

    first, *others = cases
    params = {name: np.asarray(value) for name, value in sorted(initial(first).items())}
    shapes = {name: value.shape for name, value in params.items()}
    for other in others:
        if {k: v.shape for k, v in jax.eval_shape(partial(initial, other)).items()} != shapes:
            raise UsageError(
                f"cases {first} and {other} have parameters of different shapes, "
                "but a folder has one params.npz: put them in two cases files."
            )
    rng = np.random.default_rng([seed, 0])
    return {
        name: value + np.float32(0.05) * rng.standard_normal(value.shape, np.float32)
        for name, value in params.items()
    }


def make(cases: Arrays, output: Path, seed: int, num_steps: int, all_gradients: bool) -> None:
    """Write a new golden folder for the given cases; train on the first one's settings."""
    params = make_params(cases, seed)
    tree, rng = as_tree(params), np.random.default_rng([seed, 1])
    batches = {name: case.pop("batch", 8) for name, case in cases.items()}
    times = {name: case.pop("sampling", SAMPLE_TIMES) for name, case in cases.items()}
    trainings = {name: TRAINING | case.pop("training", {}) for name, case in cases.items()}
    write_shared(output, cases, params)

    def drawn_inputs(name: str, draw_seed: int) -> Arrays:
        model = official_model(name, cases[name])
        inputs = make_inputs(rng, cases[name], batches[name], times[name])
        key = jax.random.fold_in(jax.random.key(seed), draw_seed)
        return {**inputs, **make_draws(model, tree, inputs["x"], inputs["y"], key)}

    for i, (name, case) in enumerate(cases.items()):
        arrays = evaluate(official_model(name, case), params, drawn_inputs(name, i))
        if i > 0 and not all_gradients:
            arrays = {k: v for k, v in arrays.items() if not k.startswith("grad/")}
        np.savez(output / f"case_{name}.npz", **arrays)
        print(f"{name}: written")
    if num_steps > 0:
        first, steps = next(iter(cases)), []
        for i in range(num_steps):
            inputs = drawn_inputs(first, len(cases) + i)
            draws = {name: inputs[name] for name in DRAW_NAMES}
            steps.append({"latents": inputs["x"], "y": inputs["y"], **draws})
        training = trainings[first]
        arrays = train(official_model(first, cases[first]), params, training, steps)
        write_training(output, {**cases[first], "training": training}, arrays, num_steps)
        print(f"train_{num_steps}_steps: written")


def read_json(path: Path) -> Any:
    """A JSON file, or one sentence about why not."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not valid JSON: {error}.") from error


def read_arrays(path: Path) -> Arrays:
    """All arrays of an npz file."""
    if not path.is_file():
        raise UsageError(f"{path} is missing: a golden folder has cases.json and what it names.")
    with np.load(path) as file:
        return dict(file)


def read_cases(path: Path) -> Arrays:
    """Cases by name: model sizes, method settings and perhaps a batch size."""
    cases = read_json(path)
    if not isinstance(cases, dict) or not cases:
        raise UsageError(f"{path} names no cases: expected an object of cases by name.")
    for name, case in cases.items():
        for part, fields in (("model", MODEL_FIELDS), ("method", METHOD_FIELDS)):
            odd = sorted(fields.symmetric_difference(case.get(part, {})))
            if odd:
                raise UsageError(f"case {name}, {part}: missing or unknown: {', '.join(odd)}.")
        if unknown := sorted(set(case.get("training", {})) - set(TRAINING)):
            raise UsageError(f"case {name}, training: unknown: {', '.join(unknown)}.")
        model, method = case["model"], case["method"]
        if model["input_size"] % model["patch_size"]:
            raise UsageError(f"case {name}: patch_size must divide input_size.")
        if model["hidden_size"] % model["num_heads"] or model["hidden_size"] % 4:
            raise UsageError(f"case {name}: hidden_size must be a multiple of num_heads and of 4.")
        if method["noise_dist"] not in ("logit_normal", "uniform"):
            raise UsageError(f"case {name}: noise_dist must be logit_normal or uniform.")
    return cases


def write_shared(output: Path, cases: Arrays, params: Arrays) -> None:
    """The two files all cases share."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")
    np.savez(output / "params.npz", **params)


def write_training(output: Path, settings: Arrays, arrays: Arrays, num_steps: int) -> None:
    """The arrays of a training run and, beside them, its settings."""
    stem = output / f"train_{num_steps}_steps"
    stem.with_suffix(".json").write_text(json.dumps(settings, indent=1) + "\n")
    np.savez(stem.with_suffix(".npz"), **arrays)


def write_provenance(output: Path, official: Path, shims: list[str]) -> None:
    """What was run and where: commit, versions, and the names put in place."""
    libraries = ("jax", "jaxlib", "flax", "optax", "numpy")
    content = {
        "commit": commit_of(official),
        "libraries": {name: metadata.version(name) for name in libraries},
        "shims": shims,
    }
    (output / "provenance.json").write_text(json.dumps(content, indent=1) + "\n")


def main() -> int:
    """Exit status: 0 written and agreeing, 1 a difference, 2 a wrong call."""
    parser = argparse.ArgumentParser(description="Golden files from the authors' MeanFlow code.")
    parser.add_argument("--official", type=Path, required=True, help="checkout of their code")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--golden", type=Path, help="golden folder to compute again and compare")
    source.add_argument(
        "--cases", type=Path, nargs="+", help="JSON files of new cases, as cases.json"
    )
    parser.add_argument("--seed", type=int, default=0, help="of new cases")
    parser.add_argument(
        "--train", type=int, default=0, metavar="K", help="also K training steps on the first case"
    )
    parser.add_argument("--all-gradients", action="store_true", help="not only the first case's")
    args = parser.parse_args()
    jax_config: Any = jax.config
    jax_config.update("jax_platforms", "cpu")
    if jax.__version__ != JAX_VERSION:
        print(f"warning: jax {jax.__version__}, their code is for {JAX_VERSION}", file=sys.stderr)
    try:
        with official_code(args.official) as (_, shims):
            if args.golden:
                return 0 if recompute(args.golden, args.output) else 1
            for path in args.cases:
                output = args.output / path.stem if len(args.cases) > 1 else args.output
                make(read_cases(path), output, args.seed, args.train, args.all_gradients)
            write_provenance(args.output, args.official, [shim.name for shim in shims])
    except (UsageError, CheckoutError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
