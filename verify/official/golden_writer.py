"""Writer of golden files: runs the authors' MeanFlow code and stores inputs and results.

    python golden_writer.py --official PATH --output FOLDER --golden FOLDER
    … --cases CASES.json --seed N

PATH is a checkout of the authors' code (Gsunshine/meanflow, commit d70cb55), used unmodified.
`meanflow verify --official` runs this file too, in this project's environment, where it differs by
what verify/official/checkout.py puts in place.
With --golden, every array of an existing folder is computed again from the inputs, draws and
parameters stored in it, and compared: exit 1 when one differs by more than TOLERANCE, or
TRAINING_TOLERANCE after training steps.
With --cases, new inputs, draws and parameters are made for the sizes and settings in CASES.json.

It runs in an environment of its own (verify/official/requirements.txt), without this project.
"""

import argparse
import json
import sys
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from checkout import METHOD_FIELDS, CheckoutError, commit_of, official_code, widened
from run import DRAW_NAMES, Arrays, as_named, as_tree, draws_of, evaluate, official_model, train

JAX_VERSION = "0.4.27"
TOLERANCE = 1e-5  # on max|a - b| / max|b|; recomputing the seven cases made 1.1e-6 at most
# Wider, as Adam divides rounding by nearly zero gradients (that of a key bias is rounding alone):
# five steps
# compiled in different ways differ by 3e-5. Measured mistakes: beta2 0.999 for 0.95 makes 1e-3,
# an EMA of the parameters before the update 5e-3.
TRAINING_TOLERANCE = 1e-4
SAMPLE_TIMES = {"s1": (1.0, 0.0), "s2": (1.0, 0.5, 0.0), "s4": (1.0, 0.8, 0.55, 0.2, 0.0)}
INPUT_NAMES = ("x", "y", *DRAW_NAMES, "sample_noise", *(f"sample_{k}_times" for k in SAMPLE_TIMES))
# fmt: off
MODEL_FIELDS = {"input_size", "patch_size", "in_channels", "hidden_size", "depth", "num_heads",
                "mlp_ratio", "num_classes"}
TRAINING = {"learning_rate": 1e-3, "adam_b1": 0.9, "adam_b2": 0.95, "adam_eps": 1e-8,
            "weight_decay": 0.0, "ema_decay": 0.9}
# fmt: on


class UsageError(Exception):
    """Error of usage; the message is one sentence for the user."""


def difference(got: Any, stored: Any) -> float:
    """Largest relative difference, max|got - stored| / max|stored|; infinite if incomparable."""
    if got.shape != stored.shape:
        return float("inf")
    if stored.dtype.kind not in "fc":
        return 0.0 if np.array_equal(got, stored) else float("inf")
    scale = np.max(np.abs(stored)) or 1.0  # all zero: the absolute difference
    return float(np.max(np.abs(got - stored)) / scale)


def agrees(name: str, got: Arrays, stored: Arrays, tolerance: float) -> bool:
    """True if every stored array is recomputed within the tolerance; prints the worst."""
    differences = {key: difference(got[key], stored[key]) for key in stored}
    worst = max(differences, key=lambda k: np.nan_to_num(differences[k], nan=np.inf))
    within = all(value <= tolerance for value in differences.values())  # NaN is not within
    verdict = "agrees" if within else "DIFFERS"
    print(f"{name}: {differences[worst]:.1e} at {worst}, allowed {tolerance:.0e}: {verdict}")
    return within


def recompute(golden: Path, output: Path) -> bool:
    """Compute an existing golden folder again into another; returns True if all of it agrees."""
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


def make_inputs(rng: np.random.Generator, case: Arrays, own: Arrays) -> Arrays:
    """Images (normal), labels, sample_noise and sample times of a new case."""
    model, batch = case["model"], own["batch"]
    shape = (model["input_size"], model["input_size"], model["in_channels"])
    times = {f"sample_{k}_times": np.array(v, np.float32) for k, v in own["sampling"].items()}
    return {
        "x": rng.standard_normal((batch, *shape), np.float32),
        "y": rng.integers(model["num_classes"], size=batch, dtype=np.int32),
        "sample_noise": rng.standard_normal((min(batch, 4), *shape), np.float32),
        **times,
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


def make(
    cases: Arrays, output: Path, seed: int, num_steps: int, all_gradients: bool, wide: Path | None
) -> None:
    """Write a new golden folder for the given cases; train on the first one's settings.

    The folder `wide` gets the same problems, computed in float64.
    """
    params, rng = make_params(cases, seed), np.random.default_rng([seed, 1])
    own = {name: split_case(case) for name, case in cases.items()}
    keys = [jax.random.fold_in(jax.random.key(seed), i) for i in range(len(cases) + num_steps)]
    write_shared(output, cases, params)
    arrays = {}
    for name, key in zip(cases, keys[: len(cases)], strict=True):
        inputs = make_inputs(rng, cases[name], own[name])
        arrays[name] = evaluate(official_model(name, cases[name]), params, inputs, key)
    write_cases(output, arrays, all_gradients)
    first = next(iter(cases))
    settings = {**cases[first], "training": own[first]["training"]}
    steps, draws = [], draws_of(official_model(first, settings))
    for key in keys[len(cases) :]:
        inputs = make_inputs(rng, settings, own[first])
        drawn = draws(as_tree(params), inputs["x"], inputs["y"], key)
        steps.append({"latents": inputs["x"], "y": inputs["y"], **drawn})
    write_steps(output, first, settings, params, steps)
    if wide:
        with widened():
            params, steps, arrays = as_float64((params, steps, arrays))
            write_shared(wide, cases, params)
            for name, case in cases.items():
                inputs = {k: v for k, v in arrays[name].items() if is_input(k)}
                arrays[name] = evaluate(official_model(name, case), params, inputs)
            write_cases(wide, arrays, all_gradients)
            write_steps(wide, first, settings, params, steps)


def split_case(case: Arrays) -> Arrays:
    """Case without the keys that are not settings of the objective."""
    return {
        "batch": case.pop("batch", 8),
        "sampling": case.pop("sampling", SAMPLE_TIMES),
        "training": TRAINING | case.pop("training", {}),
    }


def is_input(name: str) -> bool:
    """True if an array of a case is an input of the authors' code, not a result."""
    return name in {"x", "y", *DRAW_NAMES, "sample_noise"} or name.endswith("_times")


def as_float64(tree: Any) -> Any:
    """Every float32 array of a tree as float64 NumPy array."""

    def widen(array: Any) -> Any:
        return np.asarray(array, np.float64) if array.dtype == np.float32 else np.asarray(array)

    return jax.tree_util.tree_map(widen, tree)


def write_cases(output: Path, arrays: Arrays, all_gradients: bool) -> None:
    """Write a file for each case; those after the first one may lack gradients."""
    for i, (name, found) in enumerate(arrays.items()):
        left_out: tuple[str, ...] = () if all_gradients or i == 0 else ("grad/",)
        kept = {key: a for key, a in found.items() if not key.startswith(left_out)}
        np.savez(output / f"case_{name}.npz", **kept)
        print(f"{name}: written")


def write_steps(
    output: Path, name: str, settings: Arrays, params: Arrays, steps: list[Arrays]
) -> None:
    """Train over the steps, if there are any, and write the results."""
    if steps:
        arrays = train(official_model(name, settings), params, settings["training"], steps)
        write_training(output, settings, arrays, len(steps))
        print(f"train_{len(steps)}_steps: written")


def read_json(path: Path) -> Any:
    """Content of a JSON file; raises UsageError if it cannot be read."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not valid JSON: {error}.") from error


def read_arrays(path: Path) -> Arrays:
    """Arrays of an npz file, by name."""
    if not path.is_file():
        raise UsageError(f"{path} is missing: a golden folder has cases.json and what it names.")
    with np.load(path) as file:
        return dict(file)


def read_cases(path: Path) -> Arrays:
    """Cases by name: model sizes, method settings and optionally a batch size."""
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
    """Write the two files that all cases share."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")
    np.savez(output / "params.npz", **params)


def write_training(output: Path, settings: Arrays, arrays: Arrays, num_steps: int) -> None:
    """Write the arrays of a training run and, beside them, its settings."""
    stem = output / f"train_{num_steps}_steps"
    stem.with_suffix(".json").write_text(json.dumps(settings, indent=1) + "\n")
    np.savez(stem.with_suffix(".npz"), **arrays)


def write_provenance(output: Path, official: Path, shims: list[str]) -> None:
    """Write the provenance: commit, versions, and shims."""
    libraries = ("jax", "jaxlib", "flax", "optax", "numpy")
    content = {
        "commit": commit_of(official),
        "libraries": {name: metadata.version(name) for name in libraries},
        "shims": shims,
    }
    (output / "provenance.json").write_text(json.dumps(content, indent=1) + "\n")


def main() -> int:
    """Command line; exit status: 0 written and agreeing, 1 a difference, 2 an error of usage."""
    parser = argparse.ArgumentParser(description="Golden files from the authors' MeanFlow code.")
    parser.add_argument("--official", type=Path, required=True, help="checkout of their code")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--golden", type=Path, help="golden folder to compute again and compare")
    source.add_argument("--cases", type=Path, help="JSON file of new cases, as cases.json")
    parser.add_argument("--seed", type=int, default=0, help="of new cases")
    parser.add_argument(
        "--train", type=int, default=0, metavar="K", help="also K training steps on the first case"
    )
    parser.add_argument("--all-gradients", action="store_true", help="not only the first case's")
    parser.add_argument("--float64", type=Path, help="folder to write the same to in float64")
    args = parser.parse_args()
    jax_config: Any = jax.config
    jax_config.update("jax_platforms", "cpu")
    if jax.__version__ != JAX_VERSION:
        print(f"warning: jax {jax.__version__}, their code is for {JAX_VERSION}", file=sys.stderr)
    try:
        with official_code(args.official) as (_, shims):
            if args.golden:
                return 0 if recompute(args.golden, args.output) else 1
            cases = read_cases(args.cases)
            make(cases, args.output, args.seed, args.train, args.all_gradients, args.float64)
            write_provenance(args.output, args.official, [shim.name for shim in shims])
    except (UsageError, CheckoutError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
