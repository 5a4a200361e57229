"""Slips that change no number: those of optimizer, step, checkpoint and draws."""

from __future__ import annotations

Reasons = dict[str, tuple[str, ...]]

LAST_OF_TWO = "the last axis of two is axis 1"
KERNEL = "the fused kernel gives the same numbers in less time"
SAME_LENGTH = "what is walked through side by side is of the same length"
ADDED = "updates are added to parameters, in either order"
MEMORY = "whose memory is reused changes no number"
COPY = "the average starts as a copy of the parameters"
SMALLER_OF_TWO = "the larger and the smaller of two are the same in either order"
FULL_RATE = "at the first step after warm-up both formulas give the full rate"
ONE_PART = "one part is the whole batch"
NO_NAME_TWICE = "records are merged, and no two have a name in common that is watched"
NOT_COMPILED = "PyTorch compiles nothing on a CPU unless told to"
OWN_FILE = "what else a file might contain: one that was saved here holds tensors and numbers"
OTHER_NUMBERS = "other draws of the same laws: which numbers a device draws is not promised"
EVERY_STEP = "every step is a multiple of 1: the general branch says the same"
INFINITE = "without warm-up the quotient is infinite, and 1 is the smaller"
TOTALS = "what becomes of the totals of parts: their mean replaces them"
COMPILED = "compiling changes no number but by rounding"

TRAINING: dict[tuple[str, str], list[Reasons]] = {
    ("jax", "optimizer.py"): [
        {
            SMALLER_OF_TWO: (
                (
                    "learning_rate: jnp.minimum(1.0, (step + 1) / max(warmup, 1))"
                    " -> jnp.minimum((step + 1) / max(warmup, 1), 1.0)"
                ),
                "learning_rate: max(warmup, 1) -> max(1, warmup)",
                "learning_rate: jnp.maximum(step - warmup, 0) -> jnp.maximum(0, step - warmup)",
                "clip_gradient: jnp.maximum(norm, limit) -> jnp.maximum(limit, norm)",
            ),
            FULL_RATE: ("learning_rate: step < warmup -> step <= warmup",),
            ADDED: (
                (
                    "apply_gradient: optax.apply_updates(params, updates)"
                    " -> optax.apply_updates(updates, params)"
                ),
            ),
            INFINITE: ("learning_rate: 1 -> 0 (2)",),
            EVERY_STEP: ("update_average: 1 -> 0",),
        },
    ],
    ("torch", "optimizer.py"): [
        {
            SMALLER_OF_TWO: (
                (
                    "learning_rate: min(1.0, (step + 1) / max(warmup, 1))"
                    " -> min((step + 1) / max(warmup, 1), 1.0)"
                ),
                "learning_rate: max(warmup, 1) -> max(1, warmup)",
                "learning_rate: max(step - warmup, 0) -> max(0, step - warmup)",
            ),
            FULL_RATE: ("learning_rate: step < warmup -> step <= warmup",),
            KERNEL: ("init_optimizer: True -> False",),
        },
    ],
    ("jax", "step.py"): [
        {
            MEMORY: ("compile_step: 0 -> 1",),
            COMPILED: (
                (
                    "compile_step: config.training.compile == 'never'"
                    " -> config.training.compile != 'never'"
                ),
            ),
            COPY: (
                (
                    "init_state: State(step, params, ema_params, tuple(ema_more),"
                    " init_optimizer(config, params)) -> State(step, ema_params, params,"
                    " tuple(ema_more), init_optimizer(config, params))"
                ),
            ),
            ONE_PART: ("accumulate: 1 -> 0",),
            TOTALS: ("accumulate: 1 -> 0 (4)",),
            SAME_LENGTH: ("update: True -> False",),
            NO_NAME_TWICE: (
                (
                    "compile_step.step: _finite(config, batch, draws, loss, gradient)"
                    " -> _finite(config, draws, batch, loss, gradient)"
                ),
                (
                    "compile_step.step: _finite(config, batch, draws, loss, gradient)"
                    " -> _finite(config, batch, loss, draws, gradient)"
                ),
            ),
        },
    ],
    ("torch", "step.py"): [
        {
            COPY: (
                "init_state: (params, ema_params, *ema_more) -> (ema_params, params, *ema_more)",
            ),
            ONE_PART: ("accumulate: 1 -> 0",),
            SAME_LENGTH: (
                "accumulate: True -> False",
                "accumulate: True -> False (2)",
                "update: True -> False",
            ),
            NO_NAME_TWICE: (
                (
                    "compile_step.loss_and_norm: _finite(config, batch, draws, loss, gradient)"
                    " -> _finite(config, draws, batch, loss, gradient)"
                ),
                (
                    "compile_step.loss_and_norm: _finite(config, batch, draws, loss, gradient)"
                    " -> _finite(config, batch, loss, draws, gradient)"
                ),
            ),
            LAST_OF_TWO: ("_finite: -1 -> 1",),
            NOT_COMPILED: (
                "compile_step: (mode, on_gpu) -> (on_gpu, mode)",
                (
                    "compile_step: (config.training.compile,"
                    " torch.get_default_device().type == 'cuda')"
                    " -> (torch.get_default_device().type == 'cuda', config.training.compile)"
                ),
                "compile_step: mode == 'auto' -> mode != 'auto'",
                "compile_step: config.method.jvp != 'autodiff' -> config.method.jvp == 'autodiff'",
            ),
        },
    ],
    ("jax", "checkpoint.py"): [],
    ("torch", "checkpoint.py"): [
        {
            OWN_FILE: ("restore_checkpoint: True -> False",),
            SAME_LENGTH: ("restore_checkpoint: True -> False (2)", "export_state: True -> False"),
        },
    ],
    ("jax", "draws.py"): [
        {
            OTHER_NUMBERS: (
                "device_draws: (t, r, noise, drop, equal) -> (r, t, noise, drop, equal)",
                "device_draws: (t, r, noise, drop, equal) -> (t, noise, r, drop, equal)",
                "device_draws: (t, r, noise, drop, equal) -> (t, r, drop, noise, equal)",
                "device_draws: (t, r, noise, drop, equal) -> (t, r, noise, equal, drop)",
            ),
        },
    ],
    ("torch", "draws.py"): [
        {
            OTHER_NUMBERS: (
                (
                    "device_draws: mixed_seed(config.training.seed, step)"
                    " -> mixed_seed(step, config.training.seed)"
                ),
            ),
        },
    ],
}
