"""Slips that change no number that the protocol gives, each with the reason.

`verify.mutants.rules` knows those that change nothing in any text; these depend on the text.
"""

from collections import defaultdict


def listed(text: str) -> dict[tuple[str, str], dict[str, str]]:
    """Slips of (framework, file), each as `str(slip)` with its reason.

    A paragraph holds a reason (#) and slips, whose further lines are indented; a line
    `@ file framework ...` stands before those of another file.
    """
    found: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for paragraph in text.strip().split("\n\n"):
        lines = paragraph.replace("\n    ", " ").splitlines()
        if lines[0].startswith("@ "):
            file, *frameworks = lines.pop(0)[2:].split()
        reason, *slips = lines
        for framework in frameworks:
            found[framework, file] |= dict.fromkeys(slips, reason.removeprefix("# "))
    return found


EQUIVALENT = listed(
    """
@ layers.py jax torch
# the last axis of two is axis 1
sinusoid: -1 -> 1

# height and width are the same
patchify: (batch, height, width, channel) -> (batch, width, height, channel)

# the two axes are merged again, in this order
patchify: images.reshape(batch, height // patch, patch, width // patch, patch, channel) ->
    images.reshape(height // patch, batch, patch, width // patch, patch, channel)
patchify: images.reshape(batch, height // patch, patch, width // patch, patch, channel) ->
    images.reshape(batch, height // patch, patch, width // patch, channel, patch)
unpatchify: tokens.reshape(len(tokens), grid, grid, patch, patch, tokens.shape[2] // patch ** 2)
    -> tokens.reshape(grid, len(tokens), grid, patch, patch, tokens.shape[2] // patch ** 2)

@ layers.py jax
# the same variance to rounding, E[x^2] - E[x]^2
layer_norm: False -> True (3)

@ dual_dit.py torch
# the target passes no gradient anyway; stopping here saves the work
Dual.point: self.primal.detach() -> self.primal
embed_patches: kernel.detach() -> kernel
linear: weight.detach() -> weight

# the last axis of two is axis 1
embed_time: -1 -> 1
embed_time: -1 -> 1 (2)
chunks: -1 -> 1

# the last axis but one of four is axis 2
attention: -2 -> 2
attention: -2 -> 2 (2)
attention: -2 -> 2 (3)

@ dit.py jax
# the law of a module by itself: the protocol's parameters come from impls.common.parameters
PatchEmbed.__call__: (0, 1, 2) -> (1, 0, 2)
PatchEmbed.__call__: (0, 1, 2) -> (0, 2, 1)
PatchEmbed.__call__: 0 -> 1
PatchEmbed.__call__: 1 -> 0
PatchEmbed.__call__: -1 -> 1
PatchEmbed.__call__: 1 -> 0 (2)

# the law of a module by itself, as above: one seed for all blocks
_loop: True -> False

# in a loop there is no common subexpression to keep apart; the numbers are the same
_loop: False -> True

# the last axis of two is axis 1
Block.__call__: -1 -> 1
FinalLayer.__call__: -1 -> 1

@ network.py jax torch
# names in any order
ablations: ('method.tangent', 'model.embedding', *other) ->
    ('model.embedding', 'method.tangent', *other)
ablations: ('method.tangent_gradient', 'method.tangent_velocity', 'method.reduction') ->
    ('method.tangent_velocity', 'method.tangent_gradient', 'method.reduction')
ablations: ('method.tangent_gradient', 'method.tangent_velocity', 'method.reduction') ->
    ('method.tangent_gradient', 'method.reduction', 'method.tangent_velocity')

@ dit.py torch
# the stride of a convolution that is never called
PatchEmbed.__init__: size.patch_size -> size.in_channels (2)

# the last axis of two is axis 1
Block.forward: -1 -> 1
FinalLayer.forward: -1 -> 1

# the law of a module by itself: the protocol's parameters come from impls.common.parameters
DiT.__init__: 0 -> 1
DiT.__init__: parameters.to_torch(size, parameters.initial_parameters(size, seed)) ->
    parameters.to_torch(parameters.initial_parameters(size, seed), size)
DiT.__init__: parameters.initial_parameters(size, seed) -> parameters.initial_parameters(seed, size)
DiT.__init__: (name, array) -> (array, name)
DiT.__init__: True -> False
DiT.__init__: device.type != 'meta' -> device.type == 'meta'

@ objective.py jax torch
# kappa is below 1, and at kappa = 0 the general formula says the same
guide: 0 -> 1

# the other form gives the same numbers, with more work or less
sparse_velocities: config.method.kappa == 0 -> config.method.kappa != 0
sparse_velocities: config.method.kappa -> config.method.omega
sparse_velocities: 0 -> 1

# the target passes no gradient anyway; stopping here saves the work
guided_velocity: _stop(params) -> params
sparse_velocities: _stop(params) -> params
sparse_velocities: _stop(u[:num_equal]) -> u[:num_equal]

# the square of a difference has no sign
loss: squared_error(compound, u_target) -> squared_error(u_target, compound)
loss: squared_error(u, v) -> squared_error(v, u)

# names in any order
jvp_forms: ('sparse', 'dense', 'autodiff') -> ('dense', 'sparse', 'autodiff')
jvp_forms: ('sparse', 'dense', 'autodiff') -> ('sparse', 'autodiff', 'dense')

# the later of two times is the later one in either order
times: (t, r) -> (r, t)
times: (t, r) -> (r, t) (2)
times: (t, r) -> (r, t) (3)
times: (draws.t_raw, draws.r_raw) -> (draws.r_raw, draws.t_raw)

@ objective.py jax
# du/dt where r = t, which the target multiplies by zero
sparse_velocities: jnp.zeros_like -> jnp.ones_like
sparse_velocities: jnp.zeros_like -> jnp.ones_like (3)

# the other form gives the same numbers, with more work or less
loss: config.method.jvp == 'sparse' -> config.method.jvp != 'sparse'

# clip has the middle one of its three arguments in either order of the first two
target: jnp.clip(t - r, 0, 1) -> jnp.clip(0, t - r, 1)
with_tangent_gradient: jnp.clip(t - r, 0, 1) -> jnp.clip(0, t - r, 1)

# the smaller of two numbers in either order
_ramp: jnp.minimum(1, step / num_steps) -> jnp.minimum(step / num_steps, 1)

@ objective.py torch
# the smaller of two numbers in either order
_ramp: min(1, step / num_steps) -> min(step / num_steps, 1)

# the target passes no gradient anyway; stopping here saves the work
_stop: _stop(node) -> node

# du/dt where r = t, which the target multiplies by zero
sparse_velocities: torch.zeros_like -> torch.ones_like
sparse_velocities: torch.zeros_like -> torch.ones_like (3)

# the numbers are the same; only what they remember of the graph differs
loss_and_gradient: _stop(params) -> params
loss_and_gradient: array.detach() -> array

@ vision/autoencoder.py jax
# the last axis of two is axis 1
_group_mean: -1 -> 1 (3)

@ vision/autoencoder.py torch
# the numbers are the same; only what they remember of the graph differs
load_autoencoder: False -> True

@ optimizer.py jax torch
# at the first step after warm-up both formulas give the full rate
learning_rate: step < warmup -> step <= warmup

@ optimizer.py jax
# updates are added to parameters, in either order
apply_gradient: optax.apply_updates(params, updates) -> optax.apply_updates(updates, params)

# without warm-up the quotient is infinite, and 1 is the smaller
learning_rate: 1 -> 0 (2)

# every step is a multiple of 1: the general branch says the same
update_average: 1 -> 0

@ optimizer.py torch
# the fused kernel gives the same numbers in less time
init_optimizer: True -> False

@ step.py jax torch
# one part is the whole batch
accumulate: 1 -> 0

@ step.py jax
# whose memory is reused changes no number
compile_step: 0 -> 1

# compiling changes no number but by rounding
compile_step: config.training.compile == 'never' -> config.training.compile != 'never'

# the average starts as a copy of the parameters
init_state: State(step, params, ema_params, tuple(ema_more), init_optimizer(config, params)) ->
    State(step, ema_params, params, tuple(ema_more), init_optimizer(config, params))

# what becomes of the totals of parts: their mean replaces them
accumulate: 1 -> 0 (4)

# records are merged, and no two have a name in common of FINITE_FIELDS
compile_step.step: _finite(config, batch, draws, loss, gradient) -> _finite(config, draws, batch,
    loss, gradient)
compile_step.step: _finite(config, batch, draws, loss, gradient) -> _finite(config, batch, loss,
    draws, gradient)

@ step.py torch
# the average starts as a copy of the parameters
init_state: (params, ema_params, *ema_more) -> (ema_params, params, *ema_more)

# records are merged, and no two have a name in common of FINITE_FIELDS
compile_step.loss_and_norm: _finite(config, batch, draws, loss, gradient) -> _finite(config,
    draws, batch, loss, gradient)
compile_step.loss_and_norm: _finite(config, batch, draws, loss, gradient) -> _finite(config,
    batch, loss, draws, gradient)

# the last axis of two is axis 1
_finite: -1 -> 1

# PyTorch compiles nothing on a CPU unless told to
compile_step: (mode, on_gpu) -> (on_gpu, mode)
compile_step: (config.training.compile, torch.get_default_device().type == 'cuda') ->
    (torch.get_default_device().type == 'cuda', config.training.compile)
compile_step: mode == 'auto' -> mode != 'auto'

@ checkpoint.py torch
# what else a file might contain: one that was saved here holds tensors and numbers
restore_checkpoint: True -> False

@ draws.py jax
# other draws of the same laws: which numbers a device draws is not promised
device_draws: (t, r, noise, drop, equal) -> (r, t, noise, drop, equal)
device_draws: (t, r, noise, drop, equal) -> (t, noise, r, drop, equal)
device_draws: (t, r, noise, drop, equal) -> (t, r, drop, noise, equal)
device_draws: (t, r, noise, drop, equal) -> (t, r, noise, equal, drop)

@ draws.py torch
# other draws of the same laws: which numbers a device draws is not promised
device_draws: mixed_seed(config.training.seed, step) -> mixed_seed(step, config.training.seed)

@ vision/inception.py torch
# only pytorch-fid's file comes here, whose network has one size
load_inception: _Network(network, None, dtype) -> _Network(None, network, dtype)
load_inception: _Network(network, None, dtype) -> _Network(network, dtype, None)

# the text's own resize is that of the file
inception_features: mode == LEGACY -> mode != LEGACY

# only where the file system has no links

# the file that it would get is there
_from_torchscript: False -> True
"""
)
