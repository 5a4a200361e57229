"""Slips that change no number that the protocol gives, each with the reason.

A slip is written as `str(slip)` of `verify.mutants.slips`.
"""

from __future__ import annotations

from .equivalent_training import SAME_LENGTH, TRAINING, Reasons

LAST_OF_TWO = "the last axis of two is axis 1"
LAST_BUT_ONE = "the last axis but one of four is axis 2"
EITHER_ORDER = "an exchange of two axes names them in either order"
ONE_OF_TWO = "a name is one of two in either order"
PROMOTED = "the wider of two types is the same in either order"
MERGED = "the two axes are merged again, in this order"
SYMMETRIC = "the later of two times is the later one in either order"
SUM = "a sum runs over its axes in any order"
SQUARE = "the square of a difference has no sign"
STOPPED = "the target passes no gradient anyway; stopping here saves the work"
GENERAL = "kappa is below 1, and at kappa = 0 the general formula says the same"
EXPORTED = "the numbers are the same; only what they remember of the graph differs"
STRIDE = "the stride of a convolution that is never called"
OWN_START = (
    "the law of a module by itself: the protocol's parameters come from impls.common.weights"
)
ONLY_SIZE = "only the number of entries of an image that holds no numbers is read"
VARIANCE = "the same variance to rounding, E[x^2] - E[x]^2"
CLIP = "clip has the middle one of its three arguments in either order of the first two"

_TIMES = (
    "times: (t, r) -> (r, t)",
    "times: (t, r) -> (r, t) (2)",
    "times: (t, r) -> (r, t) (3)",
    "times: (draws.t_raw, draws.r_raw) -> (draws.r_raw, draws.t_raw)",
)
_OBJECTIVE: Reasons = {
    GENERAL: ("guided_velocity: 0 -> 1",),
    SUM: (
        "squared_error: (1, 2, 3) -> (2, 1, 3)",
        "squared_error: (1, 2, 3) -> (1, 3, 2)",
    ),
    SQUARE: (
        "loss: squared_error(u, u_target) -> squared_error(u_target, u)",
        "loss: squared_error(u, v) -> squared_error(v, u)",
    ),
}
_EMBEDDINGS: Reasons = {
    LAST_OF_TWO: (
        "sinusoid: -1 -> 1",
        "position_embedding: -1 -> 1",
        "position_embedding: -1 -> 1 (2)",
    ),
}

TABLE: dict[tuple[str, str], list[Reasons]] = {
    ("jax", "network.py"): [
        _EMBEDDINGS,
        {
            ONE_OF_TWO: ("_cast: ('t_embedder', 'h_embedder') -> ('h_embedder', 't_embedder')",),
            PROMOTED: (
                (
                    "_at_least_float32: jnp.promote_types(x.dtype, jnp.float32)"
                    " -> jnp.promote_types(jnp.float32, x.dtype)"
                ),
            ),
            VARIANCE: ("layer_norm: False -> True (3)",),
            OWN_START: (
                "PatchEmbed.__call__: (0, 1, 2) -> (1, 0, 2)",
                "PatchEmbed.__call__: (0, 1, 2) -> (0, 2, 1)",
                "PatchEmbed.__call__: 0 -> 1",
                "PatchEmbed.__call__: 1 -> 0",
                "PatchEmbed.__call__: -1 -> 1",
                "PatchEmbed.__call__: 1 -> 0 (2)",
            ),
            MERGED: (
                (
                    "PatchEmbed.__call__: z.reshape(-1, grid, patch, grid, patch, size.in_channels)"
                    " -> z.reshape(grid, -1, patch, grid, patch, size.in_channels)"
                ),
                (
                    "PatchEmbed.__call__: z.reshape(-1, grid, patch, grid, patch, size.in_channels)"
                    " -> z.reshape(-1, grid, patch, grid, size.in_channels, patch)"
                ),
                (
                    "DiT.__call__: x.reshape(-1, grid, grid, patch, patch, size.in_channels)"
                    " -> x.reshape(grid, -1, grid, patch, patch, size.in_channels)"
                ),
                (
                    "DiT.__call__: x.reshape(-1, grid, grid, patch, patch, size.in_channels)"
                    " -> x.reshape(-1, grid, grid, patch, size.in_channels, patch)"
                ),
            ),
            EITHER_ORDER: (
                "Attention.__call__: k.swapaxes(-1, -2) -> k.swapaxes(-2, -1)",
                (
                    "Attention.__call__: (probabilities @ v).swapaxes(1, 2)"
                    " -> (probabilities @ v).swapaxes(2, 1)"
                ),
            ),
            LAST_BUT_ONE: ("Attention.__call__: -2 -> 2",),
            LAST_OF_TWO: ("Block.__call__: -1 -> 1", "FinalLayer.__call__: -1 -> 1"),
            ONLY_SIZE: (
                (
                    "parameter_shapes: (1, size.input_size, size.input_size, size.in_channels)"
                    " -> (1, size.input_size, size.in_channels, size.input_size)"
                ),
            ),
        },
    ],
    ("torch", "network.py"): [
        _EMBEDDINGS,
        {
            STRIDE: ("PatchEmbed.__init__: size.patch_size -> size.in_channels (2)",),
            MERGED: (
                (
                    "PatchEmbed.forward: z.reshape(-1, grid, patch, grid, patch, size.in_channels)"
                    " -> z.reshape(grid, -1, patch, grid, patch, size.in_channels)"
                ),
                (
                    "PatchEmbed.forward: z.reshape(-1, grid, patch, grid, patch, size.in_channels)"
                    " -> z.reshape(-1, grid, patch, grid, size.in_channels, patch)"
                ),
                (
                    "DiT.forward: x.reshape(-1, grid, grid, patch, patch, size.in_channels)"
                    " -> x.reshape(grid, -1, grid, patch, patch, size.in_channels)"
                ),
                (
                    "DiT.forward: x.reshape(-1, grid, grid, patch, patch, size.in_channels)"
                    " -> x.reshape(-1, grid, grid, patch, size.in_channels, patch)"
                ),
            ),
            EITHER_ORDER: (
                "Attention.forward: k.transpose(-1, -2) -> k.transpose(-2, -1)",
                (
                    "Attention.forward: (probabilities @ v).transpose(1, 2)"
                    " -> (probabilities @ v).transpose(2, 1)"
                ),
            ),
            ONE_OF_TWO: ("_cast: ('t_embedder', 'h_embedder') -> ('h_embedder', 't_embedder')",),
            PROMOTED: (
                (
                    "_at_least_float32: torch.promote_types(x.dtype, torch.float32)"
                    " -> torch.promote_types(torch.float32, x.dtype)"
                ),
            ),
            LAST_BUT_ONE: ("Attention.forward: -2 -> 2",),
            LAST_OF_TWO: ("Block.forward: -1 -> 1", "FinalLayer.forward: -1 -> 1"),
            OWN_START: (
                "DiT.__init__: 0 -> 1",
                (
                    "DiT.__init__: weights.to_torch(size, weights.initial_parameters(size, seed))"
                    " -> weights.to_torch(weights.initial_parameters(size, seed), size)"
                ),
                (
                    "DiT.__init__: weights.initial_parameters(size, seed)"
                    " -> weights.initial_parameters(seed, size)"
                ),
                "DiT.__init__: (name, array) -> (array, name)",
                "DiT.__init__: True -> False",
                "DiT.__init__: device.type != 'meta' -> device.type == 'meta'",
            ),
        },
    ],
    ("jax", "objective.py"): [
        _OBJECTIVE,
        {
            SYMMETRIC: (
                *_TIMES,
                "times: jnp.maximum(t, r) -> jnp.maximum(r, t)",
                "times: jnp.minimum(t, r) -> jnp.minimum(r, t)",
            ),
            STOPPED: ("guided_velocity: jax.lax.stop_gradient(params) -> params",),
            CLIP: ("target: jnp.clip(t - r, 0, 1) -> jnp.clip(0, t - r, 1)",),
        },
    ],
    ("torch", "objective.py"): [
        _OBJECTIVE,
        {
            SYMMETRIC: (
                *_TIMES,
                "times: torch.maximum(t, r) -> torch.maximum(r, t)",
                "times: torch.minimum(t, r) -> torch.minimum(r, t)",
            ),
            STOPPED: ("guided_velocity: tensor.detach() -> tensor",),
            EXPORTED: (
                "loss_and_gradient: tensor.detach() -> tensor",
                "loss_and_gradient: tensor.detach() -> tensor (2)",
            ),
            SAME_LENGTH: ("loss_and_gradient: True -> False",),
        },
    ],
    ("jax", "sample.py"): [],
    ("torch", "sample.py"): [],
}
EQUIVALENT: dict[tuple[str, str], dict[str, str]] = {
    key: {slip: why for part in parts for why, found in part.items() for slip in found}
    for key, parts in (TABLE | TRAINING).items()
}
