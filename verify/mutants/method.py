"""Bugs in the method: derivative, times, guidance, loss and gradient."""

from .plant import mutants

METHOD = mutants(
    """
# derivative: with (z, t, h) as inputs the tangent (dz, dr, dt) of (z, r, t) reads (dz, dt, dt - dr)
@ reference/network.py
the tangent is (v, 0, 0)
- res.u, network.jvp(size, params, res, tangent, dt, dt - dr)
+ res.u, network.jvp(size, params, res, tangent, 0 * dt, 0 * dt)
> jvp_matches_hand_written_tangents zero_tangent_leaves_time_derivative
> official_derivative_matches same_derivative same_target

the tangent is (v, 1, 0)
- res.u, network.jvp(size, params, res, tangent, dt, dt - dr)
+ res.u, network.jvp(size, params, res, tangent, 0 * dt, -dt)
> jvp_matches_complex_step mean_velocity_and_derivative_match official_derivative_matches

the tangent is (v, 1, 1)
- res.u, network.jvp(size, params, res, tangent, dt, dt - dr)
+ res.u, network.jvp(size, params, res, tangent, dt, 0 * dt)
> jvp_matches_central_difference whole_target_matches official_derivative_matches

the derivative is a forward difference
- res.u, network.jvp(size, params, res, tangent, dt, dt - dr)
+ res.u, 100 * (mean_velocity(config, params, z + 0.01 * tangent, t + 0.01, t + 0.01 - r,
+     labels) - res.u)
> jvp_is_affine_in_its_tangent jvp_matches_complex_step

h is r in the JVP
- network.forward(size, params, z, t, t - r, labels)
+ network.forward(size, params, z, t, r, labels)
> jvp_returns_the_mean_velocity mean_velocity_and_derivative_match official_mean_velocity_matches

@ reference/objective.py
r and t are exchanged in the JVP
- mean_velocity_jvp(config, params, z, r, t, labels_in, w)
+ mean_velocity_jvp(config, params, z, t, r, labels_in, w)
> mean_velocity_and_derivative_match velocity_loss_matches official_velocity_loss_matches

the tangent of z is the unguided velocity
- w = tangent_velocity(config, params, z, t, v_g, labels_in)
+ w = tangent_velocity(config, params, z, t, v, labels_in)
> mean_velocity_and_derivative_match

# times
r and t are exchanged
- t, r = np.maximum(t, r), np.minimum(t, r)
+ t, r = np.minimum(t, r), np.maximum(t, r)
> logit_normal_times_match uniform_times_match state_and_velocity_match official_times_match
> official_state_matches

r = t in the last rows
- np.arange(len(t)) < int(
+ np.arange(len(t))[::-1] < int(
> first_rows_have_equal_times official_times_match

the number of rows with r = t is rounded up
- int(len(t) * method.data_proportion)
+ -int(-len(t) * method.data_proportion // 1)
> first_rows_have_equal_times

a random row has r = t at data_proportion too
- draws.equal_uniform < method
+ draws.equal_uniform <= method
> random_rows_have_equal_times

random rows are the first ones
- if method.equal_rows == "random":
+ if method.equal_rows == "by chance":
> random_rows_have_equal_times loss_with_random_rows_matches

uniform times are squashed too
- if method.noise_dist == "logit_normal":
+ if method.noise_dist:
> uniform_times_match official_times_match

data and noise are exchanged
- (1 - t) * x + t * noise, noise - x
+ (1 - t) * noise + t * x, x - noise
> interpolation_matches state_and_velocity_match official_state_matches

# guidance
kappa is ignored
- omega * v + (1 - omega - kappa) * v_u + kappa * v_c
+ omega * v + (1 - omega) * v_u
> guidance_with_kappa_matches tangent_matches official_tangent_matches

kappa = 0 guides from the conditional velocity
- v_u + omega * (v - v_u)
+ v + omega * (v - v_u)
> guidance_without_kappa_matches official_tangent_matches

the null label is the label
- np.full_like(labels, config.network.num_classes)
+ labels
> guidance_with_kappa_matches guidance_without_kappa_matches same_target

guidance reads the average over the whole interval
- h = np.zeros_like(t)
+ h = t
> guidance_with_kappa_matches guidance_without_kappa_matches official_tangent_matches

the guidance window has no end
- (t >= method.t_start) & (t <= method.t_end)
+ t >= method.t_start
> guidance_is_off_outside_its_window official_tangent_matches

the guidance window is open
- (t >= method.t_start) & (t <= method.t_end)
+ (t > method.t_start) & (t < method.t_end)
> guidance_acts_at_both_ends_of_its_window

omega = 0 is taken for kappa = 0
- if method.kappa == 0:
+ if method.omega * method.kappa == 0:
> guidance_without_omega_matches

a uniform that equals the probability drops a label
- draws.drop_uniform < config
+ draws.drop_uniform <= config
> dropout_counts_uniforms_below_its_probability

no guidance is guidance
- if method.guidance_eq == "none":
+ if method.guidance_eq == "off":
> no_guidance_is_the_velocity official_tangent_matches

dropped rows are still guided
- np.where(_image_axes(dropped), v, v_g), labels_in
+ v_g, labels_in
> dropped_rows_lose_their_guidance tangent_matches official_tangent_matches

each row drops its own label
- dropped = np.arange(len(labels)) < num_drop
+ dropped = draws.drop_uniform < config.method.class_dropout_prob
> dropout_takes_the_first_rows dropped_rows_lose_their_guidance tangent_matches

# loss
the target adds the derivative
- v_g - _image_axes(np.clip(t - r, 0, 1)) * du_dt
+ v_g + _image_axes(np.clip(t - r, 0, 1)) * du_dt
> target_matches whole_target_matches same_target

the interval is not clipped
- np.clip(t - r, 0, 1)
+ t - r
> target_clips_the_interval

the squared error is a mean
- ((u - u_target) ** 2).sum((1, 2, 3))
+ ((u - u_target) ** 2).mean((1, 2, 3))
> squared_error_is_a_sum per_sample_errors_match velocity_loss_matches
> official_velocity_loss_matches same_per_sample_errors

the weight has no norm_eps
- 1 / (error + config.method.norm_eps) ** config.method.norm_p
+ 1 / error**config.method.norm_p
> adaptive_weight_matches per_sample_errors_match loss_matches

the loss is a sum over the batch
- (weight * error).mean()
+ (weight * error).sum()
> loss_matches official_loss_matches same_loss

the monitor compares with the guided velocity
- v_loss = squared_error(u, v)
+ v_loss = squared_error(u, v_g)
> velocity_loss_matches official_velocity_loss_matches same_per_sample_errors

the gradient step reports another loss
-     return out, gradient
+     return out._replace(v_loss=out.v_loss / len(out.t)), gradient
> loss_alone_is_the_same velocity_loss_matches

# gradient
@ impls/meanflow_jax/objective.py
# Through the tangents that PyTorch's text writes out none passes to begin with.
the target passes gradient
- _stop(v_g - _image_axes
+ (v_g - _image_axes
> gradient_matches_hand_written same_gradient

@ impls/meanflow_torch/objective.py
the weight passes gradient
- _stop(1 / (error
+ (1 / (error
> gradient_matches_hand_written gradient_matches_complex_step official_gradients_match
> official_gradient_norms_match

@ reference/objective.py
# s w(s) has the derivative w (1 - norm_p s / (s + norm_eps)) where the weight is not held.
the weight of the reference passes gradient
- _image_axes(out.weight)
+ _image_axes(out.weight * (1 - config.method.norm_p * out.squared_error
+     / (out.squared_error + config.method.norm_eps)))
> gradient_matches_hand_written same_gradient

the gradient of a dropped row goes to its old label
- h, out.labels_in, cotangent
+ h, batch.labels, cotangent
> unread_labels_get_no_gradient gradient_matches_hand_written

# other losses
@ impls/meanflow_jax/objective.py
du/dt passes its whole gradient
- _like(u, share)
+ _like(u, 1.0)
> compound_gradients_match compound_gradients_match_central_difference

the gradient of du/dt has no factor t - r
- weight = _image_axes(jnp.clip(t - r, 0, 1)) * _like(u, share)
+ weight = _like(u, share)
> compound_gradients_match_central_difference compound_gradients_match

the share of the gradient scales du/dt
- weight * (du_dt - _stop(du_dt))
+ weight * du_dt
> tangent_gradient_leaves_the_loss compound_losses_match

the network's velocity passes gradient
- mean_velocity(config, _stop(params), z, t, jnp.zeros_like(t), labels)
+ mean_velocity(config, params, z, t, jnp.zeros_like(t), labels)
> compound_gradients_match

the gradient of du/dt sets in with the first step
- jnp.minimum(1, step / num_steps)
+ jnp.minimum(1, (step + 1) / num_steps)
> tangent_gradient_rises_with_the_steps compound_gradients_match

@ impls/meanflow_torch/step.py
the schedule of the loss stands still
- is None else state.step
+ is None else 0
> tangent_gradient_rises_with_the_steps

@ impls/meanflow_torch/network.py
du/dt is differentiated through F.layer_norm
- sdpa_kernel(SDPBackend.MATH), _PlainLayerNorm():
+ sdpa_kernel(SDPBackend.MATH):
> compound_gradients_match compound_gradients_match_central_difference

@ reference/objective.py
the network's velocity replaces the target's
- w = tangent_velocity(config, params, z, t, v_g, labels_in)
+ w = v_g = tangent_velocity(config, params, z, t, v_g, labels_in)
> compound_losses_match

the mean over pixels is not in the gradient
- cotangent /= num_averaged(config)
+ cotangent /= 1
> compound_gradients_match

@ reference/dit.py
biases have no gradient
- {name: grads[name] for name in params}
+ {name: grads[name] for name in params if not name.endswith("bias")}
> gradient_names_every_parameter
"""
)
