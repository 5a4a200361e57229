"""Bugs in the parts: draws, border, parameters, network and sampler."""

from .plant import mutants

PARTS = mutants(
    '''
# draws
@ impls/common/draws.py
t and r read the same stream
- r_raw=time((rows,), seed, Stream.TIME_R, step)
+ r_raw=time((rows,), seed, Stream.TIME_T, step)
> draws_are_the_recorded_ones

random rows of r = t are those without a label
- uniform((rows,), seed, Stream.EQUAL_ROW, step)
+ uniform((rows,), seed, Stream.LABEL_DROPOUT, step)
> draws_are_the_recorded_ones

every step draws the same numbers
- spawn_key=(int(stream), *indices)
+ spawn_key=(int(stream),)
> draws_depend_on_every_index draws_are_the_recorded_ones

normals are truncated
- standard_normal(shape).astype(np.float32)
+ standard_normal(shape).clip(-2, 2).astype(np.float32)
> draws_follow_their_laws draws_are_the_recorded_ones

uniforms lie on (-1, 1)
- random(shape, dtype=np.float32)
+ uniform(-1, 1, shape).astype(np.float32)
> draws_follow_their_laws

@ impls/meanflow_torch/device.py
numbers cross the border as a list
- torch.tensor(np.asarray(array),
+ torch.tensor(np.asarray(array).tolist(),
> arrays_cross_the_border_unchanged parameters_round_trip

# weights
@ impls/meanflow_torch/parameters.py
kernels of equal sides are not transposed
- return put(parameters.to_torch(config.network, canonical))
+ state = parameters.to_torch(config.network, canonical)
+     return put({k: a.T.copy() if a.ndim == 2 and len(a) == len(a.T) else a
+         for k, a in state.items()})
> parameters_round_trip official_names_round_trip official_parameters_round_trip
> same_mean_velocity

@ impls/common/parameters.py
time embeddings start with deviation 0.04
- STD = 0.02
+ STD = 0.04
> initial_parameters_are_recorded_ones initial_parameters_follow_their_laws

xavier's limit is that of fan-in alone
- math.sqrt(6.0 / (fan_in + fan_out))
+ math.sqrt(3.0 / fan_in)
> initial_parameters_follow_their_laws

@ impls/common/networks/dit.py
the output layer does not start at zero
- "final_layer/linear", width, pixels, "zeros"
+ "final_layer/linear", width, pixels, "xavier"
> untrained_network_is_zero initial_parameters_follow_their_laws

# network
@ reference/layers.py
the position embedding is row before column
- np.concatenate([column, row], axis=-1)
+ np.concatenate([row, column], axis=-1)
> patch_and_position_embedding_match mean_velocity_matches

patches are read column by column
- grid.transpose(0, 1, 3, 2, 4, 5).reshape(batch, -1,
+ grid.transpose(0, 1, 3, 4, 2, 5).reshape(batch, -1,
> patch_and_position_embedding_match official_mean_velocity_matches

the sinusoid is [sin, cos]
- np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)
+ np.concatenate([np.sin(angle), np.cos(angle)], axis=-1)
> time_embedding_matches interval_embedding_matches

time is scaled by 1000
- angle = time[:, None] * _frequencies(time)
+ angle = 1000 * time[:, None] * _frequencies(time)
> time_embedding_matches interval_embedding_matches official_mean_velocity_matches

LayerNorm takes its mean over the batch
- without affine parameters."""
-     centred = x - x.mean(-1, keepdims=True)
+ without affine parameters."""
+     centred = x - x.mean((0, -1), keepdims=True)
> mean_velocity_matches final_layer_matches

@ reference/dit.py
t and h share an embedder
- {name: _time_forward(params, name, times[name]) for name in size.times}
+ {name: _time_forward(params, "t", times[name]) for name in size.times}
> interval_embedding_matches same_mean_velocity

where r is embedded it is h
- {"t": t, "r": t - h, "h": h}
+ {"t": t, "r": h, "h": h}
> embedded_times_match gradients_of_ablations_match

labels count from one
- "y_embedder": params["y_embedder/embedding"][res.labels]
+ "y_embedder": params["y_embedder/embedding"][res.labels - 1]
> label_embedding_matches

labels do not reach the condition
- sum(more, first) + params["y_embedder/embedding"][labels]
+ sum(more, first)
> modulation_matches mean_velocity_matches

attention is scaled by the whole width
- float(q.shape[-1] ** -0.5)
+ float((q.shape[-1] * q.shape[-3]) ** -0.5)
> attention_matches blocks_match

the MLP has the sigmoid GELU
- mlp/fc2", gelu(res.hidden))
-     res.x_out
+ mlp/fc2", silu(1.702 * res.hidden) / 1.702)
+     res.x_out
> mlp_matches blocks_match

shift and scale are exchanged in the last layer
- shift, res.scale = np.split(
+ res.scale, shift = np.split(
> final_layer_matches mean_velocity_matches

the MLP reads what the block was given
- _modulate(layer_norm(res.x_mid), shift_mlp, scale_mlp)
+ _modulate(layer_norm(x), shift_mlp, scale_mlp)
> blocks_match mlp_matches

the condition of the first row stands for all
-     res.blocks, x = [], res.tokens_in
+     res.c = res.c[:1] + 0 * res.c
+     res.blocks, x = [], res.tokens_in
> rows_are_independent mean_velocity_matches

@ reference/network.py
the tangent of h forgets that of r
- res, tangent, dt, dt - dr)
+ res, tangent, dt, dt)
> other_tangents_match

u is computed in single precision
- forward(size, params, z, t, h, labels).u
+ forward(size, params, z, t, h, labels).u.astype(np.float32)
> dtype_is_kept mean_velocity_matches

@ reference/dit.py float32
the position embedding turns float32 into float64
- position_embedding(size.hidden_size, grid).astype(z.real.dtype)
+ position_embedding(size.hidden_size, grid)
> dtype_is_kept

# sampler
@ reference/sample.py
the sampler reads the instantaneous velocity
- mean_velocity(config, params, z, t, h, labels)
+ mean_velocity(config, params, z, t, 0 * h, labels)
> one_step_matches two_steps_match uneven_steps_match one_step_is_noise_minus_mean_velocity
> official_samples_match same_samples

the sampler steps as if times were even
- z = z - h[:, None, None, None] *
+ z = z - 1 / (len(times) - 1) *
> uneven_steps_match

the sampler reads t at the end of the step
- z, t, h, labels)
+ z, r, h, labels)
> one_step_matches two_steps_match uneven_steps_match

# published
@ impls/meanflow_torch/dit.py
the network declares no null label
- nn.Embedding(size.num_classes + 1, size.hidden_size)
+ nn.Embedding(size.num_classes, size.hidden_size)
> parameter_counts_are_official dit_b_4_tensors_are_official

@ impls/meanflow_torch/network.py
the parameters are declared as (out, in)
- parameters.canonical_axes(known[name]) if name in known else range(parameter.ndim)
+ range(parameter.ndim)
> dit_b_4_tensors_are_official
'''
)
