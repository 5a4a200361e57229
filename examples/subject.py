"""My port's objective, as a subject of `meanflow verify`."""

import numpy as np

from reference import get, put  # arrays to and from the device; torch and JAX have their own


def target(v_g, du_dt, t, r):
    """Regression target: v_g - (t - r) du/dt."""
    return v_g - np.reshape(t - r, (-1, 1, 1, 1)) * du_dt


def adaptive_weight(config, error):
    """Weight of each sample's squared error s: (s + c)^-p."""
    return (error + config.method.norm_eps) ** -config.method.norm_p
