"""Bugs around a run: lower precision, checkpoints, data, draws of a device."""

from .plant import mutants

RUNS = mutants(
    """
# precision
@ impls/meanflow_torch/network.py float32
the precision is not looked at
- return torch.bfloat16 if config.training.precision == "bfloat16" else z.dtype
+ return z.dtype
> bfloat16_is_not_float32

parameters lose five more bits
- else tensor.to(dtype)
+ else tensor.to(torch.float8_e4m3fn).to(dtype)
> bfloat16_stays_near_float32

@ impls/meanflow_torch/objective.py float32
parameters and gradients are bfloat16
- {name: array.requires_grad_() for
+ {name: array.to(torch.bfloat16).requires_grad_() for
> bfloat16_keeps_float32_parameters

# checkpoint
@ impls/meanflow_torch/checkpoint.py float32
the average is saved in place of the parameters
- content = state._asdict() |
+ content = state._asdict() | {"params": state.ema_params} |
> checkpoint_round_trip_is_exact resume_is_bit_equal

the optimizer starts anew
-         state.opt_state.load_state_dict(content["opt_state"])
> checkpoint_round_trip_is_exact resume_is_bit_equal

further averages start anew
- read = (content["params"], content["ema_params"], *content["ema_more"])
+ read = (content["params"], content["ema_params"], *state.ema_more)
> checkpoint_round_trip_is_exact resume_is_bit_equal

@ impls/meanflow_torch/checkpoint.py
the moments are exchanged on the way in
- "exp_avg": first[name],
-             "exp_avg_sq": second[name],
+ "exp_avg": second[name],
+             "exp_avg_sq": first[name],
> state_round_trip_is_exact loaded_state_goes_on_the_same states_convert_exactly
> converted_state_goes_on_the_same

the optimizer counts from zero after loading
- torch.tensor(float(canonical.num_updates),
+ torch.tensor(0.0,
> loaded_state_goes_on_the_same converted_state_goes_on_the_same

the moments are exchanged on the way out
- first_moment=first,
-         second_moment=second,
+ first_moment=second,
+         second_moment=first,
> exported_moments_match state_round_trip_is_exact

the average is exported in place of the parameters
- params=export_params(config, state.params),
+ params=export_params(config, state.ema_params),
> exported_state_is_the_state

# data
@ impls/data/loader.py
every process reads the rows of the first
- shares[step * num_processes + process]
+ shares[step * num_processes]
> batches_do_not_depend_on_processes

a run begins with the first batch wherever it starts
- grain.MapDataset.range(start, np
+ grain.MapDataset.range(0, np
> batches_do_not_depend_on_the_start

every epoch has the order of the first
- order.repeat(reseed_each_epoch=config.dataset.reshuffle)
+ order.repeat(reseed_each_epoch=False)
> an_epoch_shows_each_example_once

# device draws
@ impls/meanflow_torch/draws.py
uniforms are normal
- drop_uniform=torch.rand(
+ drop_uniform=torch.randn(
> device_draws_have_their_laws

times are normal whatever noise_dist says
- time = torch.randn if config.method.noise_dist == "logit_normal" else torch.rand
+ time = torch.randn
> device_draws_have_their_laws

every step draws the same numbers on the device
- mixed_seed(config.training.seed, step)
+ mixed_seed(config.training.seed, 0)
> device_draws_depend_on_every_index device_draws_have_their_laws

the device draws the same rows of r = t at every step
- equal_uniform=torch.rand((rows,), generator=bits, device=device)
+ equal_uniform=torch.rand(
+     (rows,), generator=torch.Generator(device).manual_seed(config.training.seed))
> device_draws_depend_on_every_index

the draws of the device are in half precision
- r_raw=time((rows,), generator=bits, device=device)
+ r_raw=time((rows,), generator=bits, device=device).half()
> device_draws_are_float32_records
"""
)
