"""A port of MeanFlow in JAX, described for `meanflow diagnose THIS_FILE`.

The lines behind a `#` are an example, for a port my_port.py in the folder of this file: write your
own in their places. Your code is imported, never edited, and draws its random numbers for itself.
"""

# from functools import partial
# from my_port import generate, meanflow_loss

framework = "jax"


def network(z, t, h, y):
    """What the arguments are that your code passes to its network.

    Name them as your code does. Keys: z, the noisy images; t, the time at which they are; r, the
    other time, or h = t - r, whichever your code passes; labels, where it passes them. Beside them,
    where it applies: "time_scale": 1000 for times in 0..1000; "answer": lambda u, v: (u, v) for a
    network that returns more than u.
    """
    return {"z": z, "t": t, "h": h, "labels": y}


def loss(net, params, images, labels, key):
    """Your loss of a batch: a scalar, a loss per row, or a tuple that begins with one of them.

    Args:
        net: stands where your code has its network: net(params, …) or, as in flax,
            net.apply({"params": params}, …); net.num_classes is the number of its classes.
        params: its parameters, to be passed on as they are.
        images: [batch, height, width, channel], in -1..1.
        labels: [batch] integer, or None where your code takes none.
        key: of jax.random, for all random numbers of the loss.
    """
    # return meanflow_loss(partial(net, params), net.num_classes, images, labels, key)
    raise NotImplementedError("call your loss in loss()")


# Optional: more losses, the same code with other options, each a function loss_NAME.

# Optional: your sampler, from noise [batch, height, width, channel] to images in so many steps.
# def sample(net, params, noise, labels, steps, key):
#     return generate(partial(net, params), noise, labels, steps)

# Optional: settings in which you meant to depart from the authors' code. What is claimed, and true,
# is no difference. `claims_NAME` is for `loss_NAME`.
# claims = {}  # such as {"omega": 2.0, "kappa": 0.0, "norm_p": 0.5}
