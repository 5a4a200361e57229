"""Timesteps of the sampler, at which it calls the network."""

from impls.common.config import Config


def even_times(num_steps: int) -> tuple[float, ...]:
    """Timesteps 1 = s_0 > … > s_N = 0 of equal length 1 / N."""
    return tuple(1 - step / num_steps for step in range(num_steps + 1))


def sampling_times(config: Config, num_steps: int | None = None) -> tuple[float, ...]:
    """Timesteps of the configuration, or num_steps equal ones where that is given."""
    sampling = config.sampling
    if num_steps is None and sampling.sampling_timesteps is not None:
        return sampling.sampling_timesteps
    return even_times(num_steps or sampling.num_steps)
