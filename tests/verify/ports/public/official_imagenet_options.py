"""Gsunshine/meanflow, the official code with shims for current JAX; options."""

import os
from pathlib import Path

from verify.official.checkout import official_code

framework = "jax"
CODE = official_code(Path(os.environ["MEANFLOW_PORTS"]) / "Gsunshine+meanflow")
CODE.__enter__()  # for good: the patches hold while theirs runs
import meanflow

claims = {"omega": 2.0, "kappa": 0.0, "t_start": 0.2, "t_end": 0.9}
claims_plain = {"guidance_eq": "none", "noise_dist": "uniform"}


def network(z, t, h, y, train=True, key=None):
    return {"z": z, "t": t, "h": h, "labels": y}


def loss(net, params, images, labels, key, settings=claims):
    meanflow.models_dit.Given = lambda **_: lambda *x, **options: net(params, *x, **options)
    model = meanflow.MeanFlow("Given", {}, num_classes=net.num_classes, **settings)
    return model.apply({}, images, labels, method="forward", rngs={"gen": key})


def loss_plain(net, params, images, labels, key):
    return loss(net, params, images, labels, key, claims_plain)
