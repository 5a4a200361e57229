"""Slips that change no number that the protocol gives, each with the reason.

A slip is written as `str(slip)` of `verify.mutants.slips`.
"""

from __future__ import annotations

from .equivalent_features import FEATURES
from .equivalent_training import LAST_OF_TWO, SAME_LENGTH, TRAINING, Reasons

LAST_BUT_ONE = "the last axis but one of four is axis 2"
EITHER_ORDER = "an exchange of two axes names them in either order"
PROMOTED = "the wider of two types is the same in either order"
MERGED = "the two axes are merged again, in this order"
SYMMETRIC = "the later of two times is the later one in either order"
SUM = "a sum runs over its axes in any order"
PRODUCT = "two factors may stand in either order"
SQUARE = "the square of a difference has no sign"
STOPPED = "the target passes no gradient anyway; stopping here saves the work"
MORE_WORK = "the other form gives the same numbers, with more work or less"
UNUSED = "du/dt where r = t, which the target multiplies by zero"
ANNOTATION = "an annotation, which nothing reads"
SQUARE_IMAGES = "height and width are the same"
GENERAL = "kappa is below 1, and at kappa = 0 the general formula says the same"
EXPORTED = "the numbers are the same; only what they remember of the graph differs"
READ = "names and shapes were checked when the file was read"
NAMES = "names in any order"
STRIDE = "the stride of a convolution that is never called"
OWN_START = (
    "the law of a module by itself: the protocol's parameters come from impls.common.parameters"
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
    GENERAL: ("guide: 0 -> 1",),
    STOPPED: (
        "guided_velocity: _stop(params) -> params",
        "sparse_velocities: _stop(params) -> params",
        "sparse_velocities: _stop(u[:num_equal]) -> u[:num_equal]",
    ),
    MORE_WORK: (
        "sparse_velocities: config.method.kappa == 0 -> config.method.kappa != 0",
        "sparse_velocities: config.method.kappa -> config.method.omega",
        "sparse_velocities: 0 -> 1",
    ),
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
    LAST_OF_TWO: ("sinusoid: -1 -> 1",),
    SQUARE_IMAGES: (
        "patchify: (batch, height, width, channel) -> (batch, width, height, channel)",
    ),
    MERGED: (
        (
            "patchify: images.reshape(batch, height // patch, patch, width // patch, patch,"
            " channel)"
            " -> images.reshape(height // patch, batch, patch, width // patch, patch, channel)"
        ),
        (
            "patchify: images.reshape(batch, height // patch, patch, width // patch, patch,"
            " channel)"
            " -> images.reshape(batch, height // patch, patch, width // patch, channel, patch)"
        ),
        (
            "unpatchify: tokens.reshape(len(tokens), grid, grid, patch, patch, tokens.shape[2] //"
            " patch ** 2) -> tokens.reshape(grid, len(tokens), grid, patch, patch,"
            " tokens.shape[2] // patch ** 2)"
        ),
    ),
}

TABLE: dict[tuple[str, str], list[Reasons]] = {
    ("jax", "layers.py"): [
        _EMBEDDINGS,
        {
            VARIANCE: ("layer_norm: False -> True (3)",),
            PROMOTED: (
                (
                    "linear: jnp.promote_types(x.dtype, jnp.float32)"
                    " -> jnp.promote_types(jnp.float32, x.dtype)"
                ),
            ),
            LAST_OF_TWO: ("linear: -1 -> 1 (4)",),
        },
    ],
    ("torch", "layers.py"): [
        _EMBEDDINGS,
        {EITHER_ORDER: ("split_heads: part.transpose(1, 2) -> part.transpose(2, 1)",)},
    ],
    ("torch", "tangent.py"): [
        {
            ANNOTATION: ("the module: (str, Array) -> (Array, str)",),
            STOPPED: (
                "Dual.moving: self.value.detach() -> self.value",
                "embed_patches: kernel.detach() -> kernel",
                "linear: weight.detach() -> weight",
            ),
            LAST_OF_TWO: (
                "embed_time: -1 -> 1",
                "embed_time: -1 -> 1 (2)",
                "chunks: -1 -> 1",
            ),
            PROMOTED: (
                (
                    "attention: torch.promote_types(q.dtype, torch.float32)"
                    " -> torch.promote_types(torch.float32, q.dtype)"
                ),
            ),
            EITHER_ORDER: (
                "attention: k.transpose(-1, -2) -> k.transpose(-2, -1)",
                "attention: k.transpose(-1, -2) -> k.transpose(-2, -1) (2)",
                "attention: dk.transpose(-1, -2) -> dk.transpose(-2, -1)",
                "attention: part.transpose(1, 2) -> part.transpose(2, 1)",
            ),
            LAST_BUT_ONE: (
                "attention: -2 -> 2",
                "attention: -2 -> 2 (2)",
                "attention: -2 -> 2 (3)",
            ),
            PRODUCT: (
                (
                    "modulated_norm: torch.addcmul(shift.tangent[:, None], y.tangent,"
                    " 1 + scale.moving[:, None]) -> torch.addcmul(shift.tangent[:, None],"
                    " 1 + scale.moving[:, None], y.tangent)"
                ),
                (
                    "modulated_norm: tangent.addcmul(y.moving, scale.tangent[:, None])"
                    " -> tangent.addcmul(scale.tangent[:, None], y.moving)"
                ),
                (
                    "gated_sum: torch.addcmul(x.tangent, gate.moving[:, None], y.tangent)"
                    " -> torch.addcmul(x.tangent, y.tangent, gate.moving[:, None])"
                ),
                (
                    "gated_sum: tangent.addcmul(gate.tangent[:, None], y.moving)"
                    " -> tangent.addcmul(y.moving, gate.tangent[:, None])"
                ),
                (
                    "gated_sum: torch.addcmul(x.value, gate.value[:, None], y.value)"
                    " -> torch.addcmul(x.value, y.value, gate.value[:, None])"
                ),
            ),
            SAME_LENGTH: ("chunks: True -> False",),
        }
    ],
    ("jax", "network.py"): [
        {
            NAMES: (
                (
                    "ablations: ('method.tangent', 'model.embedding')"
                    " -> ('model.embedding', 'method.tangent')"
                ),
            ),
            PROMOTED: (
                (
                    "Attention.__call__: jnp.promote_types(x.dtype, jnp.float32)"
                    " -> jnp.promote_types(jnp.float32, x.dtype)"
                ),
            ),
            OWN_START: (
                "PatchEmbed.__call__: (0, 1, 2) -> (1, 0, 2)",
                "PatchEmbed.__call__: (0, 1, 2) -> (0, 2, 1)",
                "PatchEmbed.__call__: 0 -> 1",
                "PatchEmbed.__call__: 1 -> 0",
                "PatchEmbed.__call__: -1 -> 1",
                "PatchEmbed.__call__: 1 -> 0 (2)",
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
                "parameter_shapes: 1 -> 0",
                "parameter_shapes: 1 -> 0 (2)",
                "mean_velocity_jvp: (_, r_moving, t_moving) -> (_, t_moving, r_moving)",
            ),
        },
    ],
    ("torch", "network.py"): [
        {
            NAMES: (
                (
                    "ablations: ('method.tangent', 'model.embedding')"
                    " -> ('model.embedding', 'method.tangent')"
                ),
            ),
            STRIDE: ("PatchEmbed.__init__: size.patch_size -> size.in_channels (2)",),
            EITHER_ORDER: ("Attention.forward: out.transpose(1, 2) -> out.transpose(2, 1)",),
            LAST_OF_TWO: ("Block.forward: -1 -> 1", "FinalLayer.forward: -1 -> 1"),
            OWN_START: (
                "DiT.__init__: 0 -> 1",
                (
                    "DiT.__init__: parameters.to_torch(size,"
                    " parameters.initial_parameters(size, seed))"
                    " -> parameters.to_torch(parameters.initial_parameters(size, seed), size)"
                ),
                (
                    "DiT.__init__: parameters.initial_parameters(size, seed)"
                    " -> parameters.initial_parameters(seed, size)"
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
            UNUSED: (
                "sparse_velocities: jnp.zeros_like -> jnp.ones_like",
                "sparse_velocities: jnp.zeros_like -> jnp.ones_like (3)",
            ),
            MORE_WORK: ("loss: config.method.jvp == 'sparse' -> config.method.jvp != 'sparse'",),
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
            UNUSED: (
                "sparse_velocities: torch.zeros_like -> torch.ones_like",
                "sparse_velocities: torch.zeros_like -> torch.ones_like (3)",
            ),
            STOPPED: ("_stop: _stop(node) -> node",),
            EXPORTED: ("loss_and_gradient: _stop(params) -> params",),
            SAME_LENGTH: ("loss_and_gradient: True -> False",),
        },
    ],
    ("jax", "sample.py"): [],
    ("torch", "sample.py"): [],
    ("jax", "vision/autoencoder.py"): [
        {
            EITHER_ORDER: ("_attention: k.swapaxes(-1, -2) -> k.swapaxes(-2, -1)",),
            SUM: ("_group_mean: (1, 2) -> (2, 1)",),
            LAST_OF_TWO: ("_group_mean: -1 -> 1 (3)",),
        }
    ],
    ("torch", "vision/autoencoder.py"): [
        {
            READ: ("load_autoencoder: True -> False",),
            EXPORTED: ("load_autoencoder: False -> True",),
        }
    ],
}
EQUIVALENT: dict[tuple[str, str], dict[str, str]] = {
    key: {slip: why for part in parts for why, found in part.items() for slip in found}
    for key, parts in (TABLE | TRAINING | FEATURES).items()
}
