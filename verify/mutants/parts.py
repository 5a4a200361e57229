"""Bugs in the parts: draws, border, parameters, network and sampler."""

from __future__ import annotations

from .plant import COMMON, Mutant


def _in(file: str, package: str, name: str, old: str, new: str, caught_by: str) -> Mutant:
    return Mutant(name, package, file, old, new, tuple(caught_by.split()))


def _draws(name: str, old: str, new: str, caught_by: str) -> Mutant:
    return _in("draws.py", COMMON, name, old, new, caught_by)


def _weights(name: str, old: str, new: str, caught_by: str) -> Mutant:
    return _in("weights.py", COMMON, name, old, new, caught_by)


def _layers(name: str, old: str, new: str, caught_by: str) -> Mutant:
    return _in("layers.py", "reference", name, old, new, caught_by)


def _network(name: str, old: str, new: str, caught_by: str) -> Mutant:
    return _in("network.py", "reference", name, old, new, caught_by)


def _torch_network(name: str, old: str, new: str, caught_by: str) -> Mutant:
    return _in("network.py", "impls/meanflow_torch", name, old, new, caught_by)


DRAWS = (
    _draws(
        "t and r read the same stream",
        "r_raw=time((rows,), seed, Stream.TIME_R, step)",
        "r_raw=time((rows,), seed, Stream.TIME_T, step)",
        "draws_are_the_recorded_ones",
    ),
    _draws(
        "random rows of r = t are those without a label",
        "uniform((rows,), seed, Stream.EQUAL_ROW, step)",
        "uniform((rows,), seed, Stream.LABEL_DROPOUT, step)",
        "draws_are_the_recorded_ones",
    ),
    _draws(
        "every step draws the same numbers",
        "spawn_key=(int(stream), *indices)",
        "spawn_key=(int(stream),)",
        "draws_depend_on_every_index draws_are_the_recorded_ones",
    ),
    _draws(
        "normals are truncated",
        "standard_normal(shape).astype(np.float32)",
        "standard_normal(shape).clip(-2, 2).astype(np.float32)",
        "draws_follow_their_laws draws_are_the_recorded_ones",
    ),
    _draws(
        "uniforms lie on (-1, 1)",
        "random(shape, dtype=np.float32)",
        "uniform(-1, 1, shape).astype(np.float32)",
        "draws_follow_their_laws",
    ),
    _in(
        "device.py",
        "impls/meanflow_torch",
        "numbers cross the border as a list",
        "torch.tensor(np.asarray(array), ",
        "torch.tensor(np.asarray(array).tolist(), ",
        "arrays_cross_the_border_unchanged parameters_round_trip",
    ),
)

WEIGHTS = (
    _in(
        "parameters.py",
        "impls/meanflow_torch",
        "kernels of equal sides are not transposed",
        "return put(parameters.to_torch(config.network, canonical))",
        "state = parameters.to_torch(config.network, canonical)\n"
        "    return put({k: a.T.copy() if a.ndim == 2 and len(a) == len(a.T) else a"
        " for k, a in state.items()})",
        "parameters_round_trip official_names_round_trip official_parameters_round_trip"
        " same_mean_velocity",
    ),
    _weights(
        "time embeddings start with deviation 0.04",
        "LABEL_STD = TIME_STD = 0.02",
        "LABEL_STD = TIME_STD = 0.04",
        "initial_parameters_are_recorded_ones initial_parameters_follow_their_laws",
    ),
    _weights(
        "xavier's limit is that of fan-in alone",
        "math.sqrt(6.0 / (fan_in + fan_out))",
        "math.sqrt(3.0 / fan_in)",
        "initial_parameters_follow_their_laws",
    ),
    _weights(
        "the output layer does not start at zero",
        '"final_layer/linear", width, pixels, "zeros"',
        '"final_layer/linear", width, pixels, "xavier"',
        "untrained_network_is_zero initial_parameters_follow_their_laws",
    ),
)

NETWORK = (
    _layers(
        "the position embedding is row before column",
        "np.concatenate([column, row], axis=-1)",
        "np.concatenate([row, column], axis=-1)",
        "patch_and_position_embedding_match mean_velocity_matches",
    ),
    _layers(
        "patches are read column by column",
        "grid.transpose(0, 1, 3, 2, 4, 5).reshape(batch, -1,",
        "grid.transpose(0, 1, 3, 4, 2, 5).reshape(batch, -1,",
        "patch_and_position_embedding_match official_mean_velocity_matches",
    ),
    _layers(
        "the sinusoid is [sin, cos]",
        "np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)",
        "np.concatenate([np.sin(angle), np.cos(angle)], axis=-1)",
        "time_embedding_matches interval_embedding_matches",
    ),
    _layers(
        "time is scaled by 1000",
        "angle = time[:, None] * _frequencies(time)\n",
        "angle = 1000 * time[:, None] * _frequencies(time)\n",
        "time_embedding_matches interval_embedding_matches official_mean_velocity_matches",
    ),
    _network(
        "t and h share an embedder",
        "{name: _time_forward(params, name, times[name]) for name in size.times}",
        '{name: _time_forward(params, "t", times[name]) for name in size.times}',
        "interval_embedding_matches same_mean_velocity",
    ),
    _network(
        "where r is embedded it is h",
        '{"t": t, "r": t - h, "h": h}',
        '{"t": t, "r": h, "h": h}',
        "embedded_times_match gradients_of_ablations_match",
    ),
    _network(
        "the tangent of h forgets that of r",
        "tangent, dt, dt - dr)",
        "tangent, dt, dt)",
        "other_tangents_match",
    ),
    _network(
        "labels count from one",
        '"y_embedder": params["y_embedder/embedding"][labels]',
        '"y_embedder": params["y_embedder/embedding"][labels - 1]',
        "label_embedding_matches",
    ),
    _network(
        "labels do not reach the condition",
        'sum(more, first) + params["y_embedder/embedding"][labels]',
        "sum(more, first)",
        "modulation_matches mean_velocity_matches",
    ),
    _network(
        "attention is scaled by the whole width",
        "float(q.shape[-1] ** -0.5)",
        "float((q.shape[-1] * q.shape[-3]) ** -0.5)",
        "attention_matches blocks_match",
    ),
    _network(
        "the MLP has the sigmoid GELU",
        'mlp/fc2", gelu(tape.hidden))\n    tape.x_out',
        'mlp/fc2", silu(1.702 * tape.hidden) / 1.702)\n    tape.x_out',
        "mlp_matches blocks_match",
    ),
    _network(
        "shift and scale are exchanged in the last layer",
        "shift, tape.scale = np.split(",
        "tape.scale, shift = np.split(",
        "final_layer_matches mean_velocity_matches",
    ),
    _network(
        "the MLP reads what the block was given",
        "_modulate(layer_norm(tape.x_mid), shift_mlp, scale_mlp)",
        "_modulate(layer_norm(x), shift_mlp, scale_mlp)",
        "blocks_match mlp_matches",
    ),
    _layers(
        "LayerNorm takes its mean over the batch",
        'without affine parameters."""\n    centred = x - x.mean(-1, keepdims=True)',
        'without affine parameters."""\n    centred = x - x.mean((0, -1), keepdims=True)',
        "mean_velocity_matches final_layer_matches",
    ),
    _network(
        "the condition of the first row stands for all",
        "    tape.blocks, x = [], tape.tokens_in\n",
        "    tape.c = tape.c[:1] + 0 * tape.c\n    tape.blocks, x = [], tape.tokens_in\n",
        "rows_are_independent mean_velocity_matches",
    ),
    _network(
        "u is computed in single precision",
        "return _forward(config.network, params, z, t, h, labels).u",
        "return _forward(config.network, params, z, t, h, labels).u.astype(np.float32)",
        "dtype_is_kept mean_velocity_matches",
    ),
    Mutant(
        "the position embedding turns float32 into float64",
        "reference",
        "network.py",
        "position_embedding(size.hidden_size, grid).astype(z.real.dtype)",
        "position_embedding(size.hidden_size, grid)",
        ("dtype_is_kept",),
        dtype="float32",
    ),
)

SAMPLER = (
    _in(
        "sample.py",
        "reference",
        "the sampler reads the instantaneous velocity",
        "mean_velocity(config, params, z, t, h, labels)",
        "mean_velocity(config, params, z, t, 0 * h, labels)",
        "one_step_matches two_steps_match uneven_steps_match one_step_is_noise_minus_mean_velocity"
        " official_samples_match same_samples",
    ),
    _in(
        "sample.py",
        "reference",
        "the sampler steps as if times were even",
        "z = z - h[:, None, None, None] *",
        "z = z - 1 / (len(times) - 1) *",
        "uneven_steps_match",
    ),
    _in(
        "sample.py",
        "reference",
        "the sampler reads t at the end of the step",
        "z, t, h, labels)",
        "z, r, h, labels)",
        "one_step_matches two_steps_match uneven_steps_match",
    ),
)

PUBLISHED = (
    _torch_network(
        "the network declares no null label",
        "nn.Embedding(size.num_classes + 1, size.hidden_size)",
        "nn.Embedding(size.num_classes, size.hidden_size)",
        "parameter_counts_are_official dit_b_4_tensors_are_official",
    ),
    _torch_network(
        "the parameters are declared as (out, in)",
        "parameters.canonical_axes(known[name]) if name in known else range(parameter.ndim)",
        "range(parameter.ndim)",
        "dit_b_4_tensors_are_official",
    ),
)

PARTS = (*DRAWS, *WEIGHTS, *NETWORK, *SAMPLER, *PUBLISHED)
