"""Random settings that the authors' code supports, for `meanflow verify --official`.

Each key cycles through its kinds (branches and edge cases of the code, and a random value) in an
order of its own, so that few settings cover every kind, in new combinations. Everything is a
function of the seed.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from impls.common.draws import Stream, generator, name_index

Generator = Any  # of impls.common.draws
Settings = dict[str, Any]
Draw = Callable[[Generator], Any]

PER_NETWORK = 10  # settings that share a network's sizes and parameters
NUM_STEPS = 3  # of each training
MAX_ROWS = 9


def _between(low: float, high: float) -> Draw:
    """Uniform, rounded to four digits so that a report can quote it."""
    return lambda rng: round(float(rng.uniform(low, high)), 4)


def _log_between(low: float, high: float) -> Draw:
    return lambda rng: float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.3g}")


def _one_of(*values: Any) -> Draw:
    return lambda rng: values[int(rng.integers(len(values)))]


def _window(rng: Generator) -> tuple[float, float]:
    low, high = sorted(_between(0, 1)(rng) for _ in range(2))
    return low, high


# Key -> its kinds. None stands for a value that depends on the number of rows.
KINDS: dict[str, Sequence[Draw]] = {
    # What guides: both branches of the official guidance, and both ways to have none.
    "guidance": [
        lambda rng: ("cfg", _between(0.05, 0.95)(rng)),
        _one_of(("cfg", 0.0)),
        lambda rng: (_one_of("none", None)(rng), _between(0, 0.95)(rng)),
    ],
    "noise_dist": [_one_of("logit_normal"), _one_of("uniform")],
    "data_proportion": [_one_of(0.0), _one_of(1.0), _one_of(0.75), _between(0, 1), _one_of(None)],
    "class_dropout_prob": [_one_of(0.0), _one_of(1.0), _one_of(0.1), _between(0.2, 0.9)],
    "window": [_one_of((0.0, 1.0)), _window],
    "omega": [_one_of(1.0), _one_of(0.0), _between(0, 1), _between(1, 4)],
    "norm_p": [_one_of(0.0), _one_of(1.0), _one_of(0.5), _between(0, 2)],
    "norm_eps": [_one_of(0.01), _log_between(1e-3, 1)],
    "P_mean": [_one_of(-0.4), _between(-2, 1)],
    "P_std": [_one_of(1.0), _between(0.3, 2)],
}


def _kinds(seed: int, key: str, count: int) -> Iterator[Draw]:
    """Kinds of a key for `count` settings: all of them in every round, in random order."""
    kinds, rng = KINDS[key], generator(seed, Stream.CHECK, name_index(f"kinds of {key}"))
    order = [i for _ in range(-(-count // len(kinds))) for i in rng.permutation(len(kinds))]
    return (kinds[i] for i in order[:count])


def random_settings(num_settings: int, seed: int) -> list[dict[str, Settings]]:
    """Settings by name for each network, as golden_writer.py reads them from a file.

    Args:
        num_settings: how many, over all networks; PER_NETWORK share one.

    Returns:
        One dictionary for each network: name -> model, method, training, sampling, batch.
    """
    drawn = {key: _kinds(seed, key, num_settings) for key in KINDS}
    networks: list[dict[str, Settings]] = []
    for i in range(num_settings):
        if i % PER_NETWORK == 0:
            rng = generator(seed, Stream.CHECK, name_index("network"), i)
            # One batch size too: JAX compiles each operation for every shape.
            model, batch = _network(rng), int(rng.integers(1, MAX_ROWS + 1))
            networks.append({})
        rng = generator(seed, Stream.CHECK, name_index("setting"), i)
        networks[-1][f"setting_{i}"] = {
            "model": model,
            "method": _method({key: next(kinds)(rng) for key, kinds in drawn.items()}, batch, rng),
            "training": _training(rng),
            "sampling": _sampling(rng),
            "batch": batch,
        }
    return networks


def writer_seed(seed: int, network: int) -> int:
    """Seed (31 bits) of a network's parameters, inputs and draws."""
    return int(generator(seed, Stream.CHECK, name_index("writer"), network).integers(2**31))


def _network(rng: Generator) -> Settings:
    """Sizes of a small network; the authors' patch embedding takes up to six channels."""
    # From one patch to 16, and never an image of a few numbers: rounding must have a size.
    patch, grid = _one_of((1, 3), (1, 4), (2, 2), (2, 4), (3, 3), (4, 1), (4, 2), (8, 1))(rng)
    heads = _one_of(1, 2, 3, 4)(rng)
    return {
        "input_size": patch * grid,
        "patch_size": patch,
        "in_channels": int(rng.integers(1, 7)),
        "hidden_size": heads * _one_of(8, 12)(rng),
        "depth": int(rng.integers(1, 3)),
        "num_heads": heads,
        "mlp_ratio": _one_of(1.0, 2.7, 4.0)(rng),
        "num_classes": int(rng.integers(1, 13)),
    }


def _method(kind: Settings, batch: int, rng: Generator) -> Settings:
    """Official keys of the method, from one kind of each."""
    guidance, kappa = kind.pop("guidance")
    start, end = kind.pop("window")
    if kind["data_proportion"] is None:  # a share of rows whose product may round down
        kind["data_proportion"] = int(rng.integers(batch + 1)) / batch
    return kind | {"guidance_eq": guidance, "kappa": kappa, "t_start": start, "t_end": end}


def _training(rng: Generator) -> Settings:
    """Settings of Adam and the EMA.

    The official adam_eps of 1e-8 would magnify rounding in entries whose gradient is rounding alone
    (the bias of keys; all queries and keys if there is one token), so that little could be
    compared; the stored training steps use it.
    """
    return {
        "learning_rate": _log_between(1e-4, 1e-2)(rng),
        "adam_b1": _one_of(0.9, 0.0, 0.5)(rng),
        "adam_b2": _one_of(0.95, 0.999)(rng),
        "adam_eps": _one_of(1e-3, 1e-2)(rng),
        "weight_decay": _one_of(0.0, 0.1)(rng),
        "ema_decay": _one_of(0.9, 0.99, 0.0)(rng),
    }


def _sampling(rng: Generator) -> Settings:
    """Sampler of one to four steps, with times falling from 1 to 0."""
    num_steps = int(rng.integers(1, 5))
    inner = sorted({_between(0.01, 0.99)(rng) for _ in range(num_steps - 1)}, reverse=True)
    return {f"s{len(inner) + 1}": [1.0, *inner, 0.0]}
