"""The times at which a sampler calls the network."""

from impls.common.config import Config


def even_times(num_steps: int) -> tuple[float, ...]:
    """1 = s_0 > … > s_N = 0 in equal steps."""
    return tuple(1 - step / num_steps for step in range(num_steps + 1))


def sampling_times(config: Config, num_steps: int | None = None) -> tuple[float, ...]:
    """The times of the configuration, or equal steps where their number is given."""
    sampling = config.sampling
    if num_steps is None and sampling.sampling_timesteps is not None:
        return sampling.sampling_timesteps
    return even_times(num_steps or sampling.num_steps)
