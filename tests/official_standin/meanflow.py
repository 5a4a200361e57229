"""Stand-in for the authors' meanflow.py: the objective and the sampler."""

# ruff: noqa: TID251  theirs draws for itself

import flax.linen as nn
import jax
import jax.numpy as jnp
from models import models_dit


class MeanFlow(nn.Module):
    """The objective around a network of models_dit, which is found by its name."""

    model_str: str
    model_config: dict
    dtype = jnp.float32
    num_classes: int = 1000
    noise_dist: str = "logit_normal"
    P_mean: float = -0.4
    P_std: float = 1.0
    data_proportion: float = 0.75
    guidance_eq: str = "cfg"
    omega: float = 1.0
    kappa: float = 0.5
    class_dropout_prob: float = 0.1
    t_start: float = 0.0
    t_end: float = 1.0
    norm_p: float = 1.0
    norm_eps: float = 0.01
    seed: int = 0
    num_steps: int = 1
    schedule: str = "default"
    sampling_timesteps: jnp.ndarray = None

    def setup(self):
        self.net = getattr(models_dit, self.model_str)(name="net", class_dropout_prob=0.0)

    def __call__(self, x, t, y, train=False, key=None):
        return self.net(x, t, t, y, train=train, key=key)

    def velocity(self, z, t, h, y):
        return self.net(z, t.reshape(-1), h.reshape(-1), y)

    def times(self, rows):
        def draw():
            key, shape = self.make_rng("gen"), (rows, 1, 1, 1)
            if self.noise_dist == "uniform":
                return jax.random.uniform(key, shape, dtype=self.dtype)
            raw = jax.random.normal(key, shape, dtype=self.dtype)
            return nn.sigmoid(self.P_std * raw + self.P_mean)

        one, other = draw(), draw()
        t = jnp.maximum(one, other)
        equal = jnp.arange(rows) < int(rows * self.data_proportion)
        return t, jnp.where(equal[:, None, None, None], t, jnp.minimum(one, other))

    def guided(self, z, v, t, y):
        if self.guidance_eq != "cfg":
            return v
        inside = (self.t_start <= t) & (t <= self.t_end)
        omega, kappa = jnp.where(inside, self.omega, 1.0), jnp.where(inside, self.kappa, 0.0)
        null = jnp.full_like(y, self.num_classes)
        v_g = omega * v + (1 - omega - kappa) * self.velocity(z, t, 0 * t, null)
        return v_g + kappa * self.velocity(z, t, 0 * t, y) if self.kappa else v_g

    def forward(self, imgs, labels, train=True):
        x, rows = imgs.astype(self.dtype), len(imgs)
        t, r = self.times(rows)
        noise = jax.random.normal(self.make_rng("gen"), x.shape, dtype=self.dtype)
        z, v = x + t * (noise - x), noise - x
        v_g = self.guided(z, v, t, labels)
        chances = jax.random.uniform(self.make_rng("gen"), (rows,))
        dropped = jnp.arange(rows) < jnp.sum(chances < self.class_dropout_prob)
        labels = jnp.where(dropped, self.num_classes, labels)
        v_g = jnp.where(dropped[:, None, None, None], v, v_g)
        u, du_dt = jax.jvp(
            lambda z, t, r: self.velocity(z, t, t - r, labels),
            (z, t, r),
            (v_g, jnp.ones_like(t), jnp.zeros_like(r)),
        )
        u_target = v_g - jnp.clip(t - r, a_min=0, a_max=1) * du_dt
        error = jnp.sum((u - jax.lax.stop_gradient(u_target)) ** 2, axis=(1, 2, 3))
        weight = jax.lax.stop_gradient((error + self.norm_eps) ** -self.norm_p)
        loss = jnp.mean(weight * error)
        return loss, {"loss": loss, "v_loss": jnp.sum((u - v) ** 2, axis=(1, 2, 3))}


def generate(variable, model, rng, n_sample, config, class_idx=None):
    size, channels = config.dataset.image_size, config.dataset.image_channels
    z = jax.random.normal(rng, (n_sample, size, size, channels), dtype=model.dtype)
    labels = jax.random.randint(rng, (n_sample,), 0, config.dataset.num_classes)
    times = model.sampling_timesteps
    for i in range(config.sampling.num_steps):
        t, h = jnp.full(n_sample, times[i]), jnp.full(n_sample, times[i] - times[i + 1])
        u = model.apply(variable, z, t, h, labels, method="velocity")
        z = z - h[:, None, None, None] * u
    return z
