"""Bugs in the train step: optimizer, schedule, averages, parts of a batch, and what is logged."""

from .plant import mutants

TRAINING = mutants(
    """
# optimizer
@ reference/optimizer.py
the second moment is not corrected
- np.sqrt(v / (1 - b2**count))
+ np.sqrt(v)
> adam_steps_match official_trained_parameters_match official_training_losses_match

weight decay enters the gradient, as L2 in Adam
-         g = gradient[name]
+         g = gradient[name] + training.weight_decay * p
> adam_steps_match steps_with_every_setting_match

the average weighs the new parameters
- decay * ema_params[name] + (1 - decay) * array
+ (1 - decay) * ema_params[name] + decay * array
> moving_average_matches official_trained_average_matches further_averages_match

averages are updated at every step
- if step % config.training.ema_every:
+ if step < 0:
> averages_rest_between_updates further_averages_match

averages are updated one step before a multiple of ema_every
- if step % config.training.ema_every:
+ if (step + 1) % config.training.ema_every:
> averages_rest_between_updates further_averages_match

averages do not warm up
- if not config.training.ema_warmup:
+ if True:
> averages_warm_up

averages warm up in every run
- if not config.training.ema_warmup:
+ if step < 0:
> moving_average_matches further_averages_match official_trained_average_matches

the warm-up counts the update that it is in
- k = step // config.training.ema_every - 1
+ k = step // config.training.ema_every
> averages_warm_up

the warm-up counts steps, not updates of the average
- k = step // config.training.ema_every - 1
+ k = step - 1
> averages_warm_up

the warm-up has no end
- return min(decay, (1 + k) / (10 + k))
+ return (1 + k) / (10 + k)
> averages_warm_up

the learning rate starts at zero
- return high * (step + 1) / training.warmup_steps
+ return high * step / training.warmup_steps
> learning_rate_matches steps_with_every_setting_match same_training_trajectory

every cycle is as long as the first
- length * training.cycle_growth
+ length
> learning_rate_matches same_training_trajectory

cycles count from the start of warm-up
-     step = step - training.warmup_steps
> learning_rate_matches steps_with_every_setting_match

the update has the rate of the step after it
- rate = learning_rate(config, opt_state.num_updates)
+ rate = learning_rate(config, opt_state.num_updates + 1)
> steps_with_every_setting_match same_training_trajectory

gradients are clipped entry by entry
- array * (limit / norm) for
+ np.clip(array, -limit, limit) for
> clipped_gradient_matches steps_with_every_setting_match

short gradients are lengthened to max_grad_norm
- if limit is None or norm <= limit:
+ if limit is None:
> clipped_gradient_matches steps_with_every_setting_match

# step
@ impls/meanflow_jax/step.py
a step that must be compiled leaves out clipping
- gradient, norm = clip_gradient(config, gradient)
+ norm = clip_gradient(config, gradient)[1]
+         if config.training.compile != "always":
+             gradient = clip_gradient(config, gradient)[0]
> steps_compiled_by_the_framework_match

@ reference/step.py
the average lags one step behind
- training.ema_val, state.ema_params, params)
+ training.ema_val, state.ema_params, state.params)
> moving_average_matches official_trained_average_matches

all averages have the decay of the first
- update_average(config, step, decay, average, params)
+ update_average(config, step, training.ema_val, average, params)
> further_averages_match

further averages do not warm up
- update_average(config, step, decay, average, params)
+ update_average(config, step if decay == training.ema_val else 10**9, decay, average, params)
> averages_warm_up

steps are not counted
- return State(step, params,
+ return State(state.step, params,
> steps_are_counted

a batch in parts is taken whole
- num_parts = config.training.num_microbatches
+ num_parts = 1
> parts_of_a_batch_match steps_with_every_setting_match

the gradients of parts are added up
- for g in gradients) / num_parts
+ for g in gradients)
> parts_of_a_batch_match steps_with_every_setting_match

the gradient is not clipped
- clip_gradient(config, gradient)[0]
+ gradient
> steps_with_every_setting_match

@ impls/meanflow_torch/step.py
train_step makes an update of its own
- return update(config, state, clip_gradient(config, gradient)[0]), loss
+ return update(config, state, gradient), loss
> compiled_step_is_the_train_step

a run logs its losses under each other's names
- Metrics(total, v_loss, norm,
+ Metrics(v_loss, total, norm,
> logged_metrics_match compiled_step_is_the_train_step

a run logs the norm after clipping
-         gradient, norm = clip_gradient(config, gradient)
+         gradient, _ = clip_gradient(config, gradient)
+         norm = clip_gradient(config, gradient)[1]
> logged_metrics_match

a run logs the learning rate of the next step
- rate = learning_rate(config, state.step)
+ rate = learning_rate(config, state.step + 1)
> logged_metrics_match

gradients are blamed in alphabetical order
- gradient[tensor.torch] for tensor in tensors(config.network)
+ gradient[name] for name in sorted(gradient)
> finite_flags_name_what_is_not

the gradients are not looked at
-     arrays += [gradient[tensor.torch] for tensor in tensors(config.network)]
+     arrays += [loss.total for tensor in tensors(config.network)]
> finite_flags_name_what_is_not

# sparse
@ impls/meanflow_torch/objective.py
where r = t the unconditional velocity stands for the conditional one
- v_c = torch.concatenate([_stop(u[:num_equal]), v_c])
+ v_c = torch.concatenate([v_u[:num_equal], v_c])
> other_form_of_the_jvp_gives_the_same tangent_matches

random rows take the sparse step
- config.method.jvp == "sparse" and config.method.equal_rows == "first"
+ config.method.jvp == "sparse"
> loss_with_random_rows_matches gradient_with_random_rows_matches

the dense form takes labels before dropout
- u, du_dt = mean_velocity_jvp(config, params, z, r, t, labels_in, w)
-     return
+ u, du_dt = mean_velocity_jvp(config, params, z, r, t, labels, w)
+     return
> other_form_of_the_jvp_gives_the_same

@ impls/meanflow_torch/network.py
without a tangent the interval is r
- mean_velocity(config, params, z, t, t - r, labels), tangent
+ mean_velocity(config, params, z, t, r, labels), tangent
> rows_without_a_tangent_are_not_changed

forward mode puts the rows without a tangent last
- torch.cat([rest, out])
+ torch.cat([out, rest])
> rows_without_a_tangent_are_not_changed

forward mode takes r for the length of the interval
- inputs, along = zip(z, t, h, strict=True)
+ inputs, along = zip(z, t, Dual(t.primal - h.primal, h.tangent), strict=True)
> other_form_of_the_jvp_gives_the_same
"""
)
