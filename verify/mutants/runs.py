"""Bugs around a run: lower precision, checkpoints, data, draws of a device."""

from __future__ import annotations

from .plant import COMMON, Mutant

TORCH = "impls/meanflow_torch"


def _in(
    file: str, package: str, name: str, old: str, new: str, caught_by: str, dtype: str = "float64"
) -> Mutant:
    return Mutant(name, package, file, old, new, tuple(caught_by.split()), dtype)


def _bfloat16(file: str, name: str, old: str, new: str, caught_by: str) -> Mutant:
    return _in(file, TORCH, name, old, new, caught_by, "float32")


def _checkpoint(name: str, old: str, new: str, caught_by: str, dtype: str = "float64") -> Mutant:
    return _in("checkpoint.py", TORCH, name, old, new, caught_by, dtype)


def _data(name: str, old: str, new: str, caught_by: str) -> Mutant:
    return _in("data/loader.py", COMMON, name, old, new, caught_by)


def _device_draws(name: str, old: str, new: str, caught_by: str) -> Mutant:
    return _in("draws.py", TORCH, name, old, new, caught_by)


PRECISION = (
    _bfloat16(
        "network.py",
        "the precision is not looked at",
        'return torch.bfloat16 if config.training.precision == "bfloat16" else z.dtype',
        "return z.dtype",
        "bfloat16_is_not_float32",
    ),
    _bfloat16(
        "network.py",
        "parameters lose five more bits",
        "else tensor.to(dtype)\n",
        "else tensor.to(torch.float8_e4m3fn).to(dtype)\n",
        "bfloat16_stays_near_float32",
    ),
    _bfloat16(
        "objective.py",
        "parameters and gradients are bfloat16",
        "{name: array.requires_grad_() for",
        "{name: array.to(torch.bfloat16).requires_grad_() for",
        "bfloat16_keeps_float32_parameters",
    ),
)

CHECKPOINT = (
    _checkpoint(
        "the average is saved in place of the parameters",
        "content = state._asdict() |",
        'content = state._asdict() | {"params": state.ema_params} |',
        "checkpoint_round_trip_is_exact resume_is_bit_equal",
        "float32",
    ),
    _checkpoint(
        "the optimizer starts anew",
        '        state.opt_state.load_state_dict(content["opt_state"])\n',
        "",
        "checkpoint_round_trip_is_exact resume_is_bit_equal",
        "float32",
    ),
    _checkpoint(
        "further averages start anew",
        'read = (content["params"], content["ema_params"], *content["ema_more"])',
        'read = (content["params"], content["ema_params"], *state.ema_more)',
        "checkpoint_round_trip_is_exact resume_is_bit_equal",
        "float32",
    ),
    _checkpoint(
        "the moments are exchanged on the way in",
        '"exp_avg": first[name],\n            "exp_avg_sq": second[name],',
        '"exp_avg": second[name],\n            "exp_avg_sq": first[name],',
        "state_round_trip_is_exact loaded_state_goes_on_the_same states_convert_exactly"
        " converted_state_goes_on_the_same",
    ),
    _checkpoint(
        "the optimizer counts from zero after loading",
        "torch.tensor(float(canonical.num_updates), ",
        "torch.tensor(0.0, ",
        "loaded_state_goes_on_the_same converted_state_goes_on_the_same",
    ),
    _checkpoint(
        "the moments are exchanged on the way out",
        "first_moment=first,\n        second_moment=second,",
        "first_moment=second,\n        second_moment=first,",
        "exported_moments_match state_round_trip_is_exact",
    ),
    _checkpoint(
        "the average is exported in place of the parameters",
        "params=export_params(config, state.params),",
        "params=export_params(config, state.ema_params),",
        "exported_state_is_the_state",
    ),
)

DATA = (
    _data(
        "every process reads the rows of the first",
        "shares[step * num_processes + process]",
        "shares[step * num_processes]",
        "batches_do_not_depend_on_processes",
    ),
    _data(
        "a run begins with the first batch wherever it starts",
        "grain.MapDataset.range(start, np",
        "grain.MapDataset.range(0, np",
        "batches_do_not_depend_on_the_start",
    ),
    _data(
        "every epoch has the order of the first",
        "order.repeat(reseed_each_epoch=config.dataset.reshuffle)",
        "order.repeat(reseed_each_epoch=False)",
        "an_epoch_shows_each_example_once",
    ),
)

DEVICE_DRAWS = (
    _device_draws(
        "uniforms are normal",
        "drop_uniform=torch.rand(",
        "drop_uniform=torch.randn(",
        "device_draws_have_their_laws",
    ),
    _device_draws(
        "times are normal whatever noise_dist says",
        'time = torch.randn if config.method.noise_dist == "logit_normal" else torch.rand',
        "time = torch.randn",
        "device_draws_have_their_laws",
    ),
    _device_draws(
        "every step draws the same numbers on the device",
        "mixed_seed(config.training.seed, step)",
        "mixed_seed(config.training.seed, 0)",
        "device_draws_depend_on_every_index device_draws_have_their_laws",
    ),
    _device_draws(
        "the device draws the same rows of r = t at every step",
        "equal_uniform=torch.rand((rows,), generator=bits, device=device)",
        "equal_uniform=torch.rand("
        "(rows,), generator=torch.Generator(device).manual_seed(config.training.seed))",
        "device_draws_depend_on_every_index",
    ),
    _device_draws(
        "the draws of the device are in half precision",
        "r_raw=time((rows,), generator=bits, device=device)",
        "r_raw=time((rows,), generator=bits, device=device).half()",
        "device_draws_are_float32_records",
    ),
)

RUNS = (*PRECISION, *CHECKPOINT, *DATA, *DEVICE_DRAWS)
