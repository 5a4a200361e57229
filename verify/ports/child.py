"""The process that runs a port: under the port's own interpreter, with NumPy and its framework.

    INTERPRETER child.py PORT.py FOLDER

It reads a request per line from standard input (JSON), answers each with a line (JSON), and leaves
the arrays of the answer in FOLDER/answer.npz. What the port prints goes to standard error. This
file imports nothing of the project, and reads on Python 3.8 and later.

`field` is the probe network: u(z, t, h, y) with a few trainable numbers theta, every partial
derivative nonzero, a Jacobian in z that is not diagonal, and an answer of its own for each label.
"""

import contextlib
import functools
import inspect
import json
import os
import random
import signal
import sys
import threading
import time
import traceback

import numpy as np

THETA = (0.7, 0.4, -0.3, 0.8, 0.6, 0.9, 1.1, 0.25)
THETA_HEAD = (0.5, -0.6, 0.35, 0.7, -0.4, 0.8, 0.9, 0.2)  # of a second head, v(z, t, y)
NO_LABEL = -2  # stands for the label of a call without labels
HERE = os.path.abspath(__file__)


def patterns(num_pixels, labels):
    """Fixed patterns over the pixels, and one per row that depends on its label.

    Returns:
        s, q, p: [num_pixels]; c: [rows, num_pixels]; three permutations of the pixels.
    """
    j = np.arange(num_pixels)
    s, q, p = np.sin(1.3 * j + 0.4), np.cos(2.1 * j + 0.9), 0.37 * j
    c = np.sin((np.asarray(labels)[:, None] + 3.0) * (0.61 * j + 0.23))
    return s, q, p, c, rolls(c)


def rolls(z):
    """The three permutations of the pixels."""
    return [np.roll(np.arange(z.shape[1]), shift) for shift in (1, 2, 3)]


def field(xp, theta, z, t, h, pattern):
    """The probe network's answer, in the arithmetic of `xp` (numpy, jax.numpy or torch).

    a = theta_0 z + theta_1 z' + theta_2 z''' + theta_3 t s + theta_4 h q + theta_5 c_y
    u = theta_6 tanh(a) + theta_7 z z'' + theta_3 cos(3 t + p) + theta_4 sin(2 h + p)

    where z', z'', z''' are z with its pixels rolled by one, two and three.

    Args:
        theta: [8] trainable numbers.
        z: [rows, num_pixels].
        t, h: [rows].
        pattern: what `patterns` returned, as arrays of `xp` (the permutations stay NumPy's).
    """
    s, q, p, c, (one, two, three) = pattern
    t, h = t[:, None], h[:, None]
    a = theta[0] * z + theta[1] * z[:, one] + theta[2] * z[:, three]
    a = a + theta[3] * t * s + theta[4] * h * q + theta[5] * c
    u = theta[6] * xp.tanh(a) + theta[7] * z * z[:, two]
    return u + theta[3] * xp.cos(3 * t + p) + theta[4] * xp.sin(2 * h + p)


class Tape:
    """The calls of the network, in order, as one loss or sampler made them."""

    def __init__(self, port):
        self.port, self.networks = port, []
        self.start(1)

    def __deepcopy__(self, memo):  # a copied network writes on the same tape
        return self

    def start(self, num_rows):
        self.calls, self.num_rows = [], num_rows

    def number(self, network):
        """0 for the network that the port was given, 1, 2, … for copies of it."""
        for i, known in enumerate(self.networks):
            if known is network:
                return i
        self.networks.append(network)
        return len(self.networks) - 1

    def meaning(self, args, kwargs):
        """What each argument of a call is, as the port's file says, with the rest filled in."""
        told = dict(self.port.network(*args, **kwargs))
        unknown = set(told) - {"z", "t", "r", "h", "labels", "time_scale", "answer"}
        if unknown or "z" not in told or "t" not in told:
            raise ValueError(
                "network() of the port's file returns z, t, and r or h, labels, time_scale or"
                " answer; got %s" % sorted(told)
            )
        return told


def class_indices(labels, rows):
    """Labels as whole numbers: of one-hot rows too, and NO_LABEL where there are none."""
    if labels is None:
        return np.full(rows, NO_LABEL), False
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels = labels.argmax(1)
    return np.broadcast_to(labels.reshape(-1), (rows,)).astype(np.int64), True


# ------------------------------------------------------------------------------------- PyTorch


class Torch:
    """Calls of a PyTorch port, recorded eagerly."""

    def __init__(self, tape):
        import torch

        self.torch, self.tape = torch, tape
        self.version = torch.__version__
        torch.set_num_threads(1)
        torch.autograd.functional.jvp = self._functional_jvp
        self._vmap = torch.vmap
        torch.vmap = torch.func.vmap = self._loop
        self._without_checkpoints()
        framework = self

        class Probe(torch.nn.Module):
            """Probe network in place of the port's."""

            def __init__(self, num_classes, dtype):
                super().__init__()
                self.theta = torch.nn.Parameter(torch.tensor(THETA, dtype=torch.float64))
                self.theta_head = torch.nn.Parameter(torch.tensor(THETA_HEAD, dtype=torch.float64))
                self.num_classes, self.dtype, self.tape = num_classes, dtype, tape

            module = property(lambda self: self)  # as of DistributedDataParallel
            device = property(lambda self: self.theta.device)

            def forward(self, *args, **kwargs):
                return framework.answer(self, args, kwargs)

        self.Probe = Probe

    def _functional_jvp(self, func, inputs, v=None, create_graph=False, strict=False):
        """torch.autograd.functional.jvp by forward mode, whose tangents the network can read."""
        torch = self.torch
        primals = inputs if isinstance(inputs, tuple) else (inputs,)
        v = tuple(map(torch.ones_like, primals)) if v is None else v
        found = torch.func.jvp(func, primals, v if isinstance(v, tuple) else (v,))
        if create_graph:
            return found
        return tuple(
            tuple(x.detach() for x in part) if isinstance(part, tuple) else part.detach()
            for part in found
        )

    def _without_checkpoints(self):
        """Let torch.utils.checkpoint keep its activations: each call runs once."""
        import torch.utils.checkpoint as module

        def checkpoint(function, *args, use_reentrant=None, context_fn=None,
                       determinism_check=None, debug=None, **kwargs):  # fmt: skip
            return function(*args, **kwargs)

        module.checkpoint = checkpoint

    def _loop(self, func, in_dims=0, out_dims=0, **options):
        """torch.vmap as a loop over the rows, each a call of the network with one row."""
        axes = in_dims if isinstance(in_dims, tuple) else None
        if out_dims != 0 or any(not isinstance(axis, (int, type(None))) for axis in axes or ()):
            return self._vmap(func, in_dims, out_dims, **options)

        def mapped(*args):
            each = axes or (in_dims,) * len(args)
            sizes = [x.shape[axis] for x, axis in zip(args, each) if axis is not None]
            rows = [
                func(*(x if axis is None else x.select(axis, i) for x, axis in zip(args, each)))
                for i in range(sizes[0])
            ]
            if isinstance(rows[0], tuple):
                return tuple(self.torch.stack(column) for column in zip(*rows))
            return self.torch.stack(rows)

        return mapped

    def seed(self, seed):
        random.seed(seed)
        np.random.seed(seed)
        self.torch.manual_seed(seed)

    def network(self, num_classes, dtype):
        self.torch.set_default_dtype(getattr(self.torch, dtype))
        self.torch.set_grad_enabled(True)  # the port may have changed all that
        self.tape.networks = []
        net = self.Probe(num_classes, getattr(self.torch, dtype))
        self.tape.number(net)
        return net

    def array(self, x, dtype):
        kind = getattr(self.torch, dtype) if x.dtype.kind == "f" else self.torch.int64
        return self.torch.as_tensor(x.copy(), dtype=kind)

    def plain(self, x):
        """NumPy array of a tensor, below the wrappers of torch.func."""
        x = self._leaf(x)
        with self._outside():  # within torch.func.jvp, detach would wrap it again
            return x.detach().cpu().numpy()

    @contextlib.contextmanager
    def _outside(self):
        """Below every transform of torch.func that is at work."""
        functorch = self.torch._C._functorch
        with contextlib.ExitStack() as again:
            while functorch.peek_interpreter_stack() is not None:
                layer = functorch.pop_dynamic_layer_stack()
                again.callback(functorch.push_dynamic_layer_stack, layer)
            yield

    def _leaf(self, x):
        functorch = self.torch._C._functorch
        while functorch.is_functorch_wrapped_tensor(x):
            x = functorch.get_unwrapped(x)
        return x

    def answer(self, net, args, kwargs):
        torch, tape = self.torch, self.tape
        told = tape.meaning(args, kwargs)
        z, dtype = told["z"], told["z"].dtype
        rows = z.shape[0]
        wide = lambda x: x.to(torch.float64)  # noqa: E731
        flat = wide(z).reshape(rows, -1)

        def time(x):
            x = torch.as_tensor(x, dtype=torch.float64) if not torch.is_tensor(x) else wide(x)
            return x.reshape(-1).expand(rows) / told.get("time_scale", 1)

        t = time(told["t"])
        h = time(told["h"]) if told.get("h") is not None else None
        r = time(told["r"]) if told.get("r") is not None else None
        span = h if h is not None else t - r if r is not None else torch.zeros_like(t)
        labels = told.get("labels")
        y, labelled = class_indices(None if labels is None else self.plain(labels), rows)
        pattern = patterns(flat.shape[1], y)
        pattern = [torch.as_tensor(x) for x in pattern[:4]] + [pattern[4]]
        u = field(torch, net.theta, flat, t, span, pattern)
        call = dict(z=self.plain(flat), t=self.plain(t), h=self.plain(span), u=self.plain(u))
        call.update(labels=y, theta=self.plain(net.theta), network=tape.number(net))
        call.update(labelled=labelled, times=2 if told.keys() & {"r", "h"} else 1)
        call.update(grad=torch.is_grad_enabled() and self._leaf(u).requires_grad)
        narrow = [x for x in (z, told["t"]) if torch.is_tensor(x) and x.dtype != torch.float64]
        call.update(training=net.training, single=bool(narrow))
        call.update(second="h" if h is not None else "r" if r is not None else "")
        for name, x in (("z", flat), ("t", t), ("h", span)):
            tangent = self._tangent(x)
            if tangent is not None:
                call["tangent_" + name] = tangent
        tape.calls.append(call)
        self._listen(u, call, "cotangent")
        u = u.reshape(z.shape).to(dtype)
        if told.get("answer") is None:
            return u
        head = field(torch, net.theta_head, flat, t, torch.zeros_like(t), pattern)
        call["head"] = self.plain(head)
        self._listen(head, call, "cotangent_head")
        return told["answer"](u, head.reshape(z.shape).to(dtype))

    def _tangent(self, x):
        try:
            tangent = self.torch.autograd.forward_ad.unpack_dual(x).tangent
        except RuntimeError:  # no dual level is entered
            return None
        return None if tangent is None else self.plain(tangent)

    def _listen(self, x, call, name):
        """Store the gradient that comes back at a tensor in its call."""
        leaf = self._leaf(x)
        if leaf.requires_grad:

            def hook(grad):
                call[name] = call.get(name, 0) + self.plain(grad)

            leaf.register_hook(hook)

    def loss(self, function, net, images, labels, seed, gradient):
        """A loss and its gradient at theta; calls are on the tape."""
        found = function(net, images, labels)
        first = first_of(found, lambda x: self.torch.is_tensor(x) and x.is_floating_point())
        with self.torch.enable_grad():  # the port may have switched it off
            loss = first.mean()
        record = dict(loss=self.plain(loss), losses=self.plain(first), many=_size(found))
        if gradient and loss.requires_grad:
            both = self.torch.autograd.grad(loss, (net.theta, net.theta_head), allow_unused=True)
            for name, grad in zip(("grad_theta", "grad_head"), both):
                if grad is not None:
                    record[name] = self.plain(grad)
        return record

    def sample(self, function, net, noise, labels, steps, seed):
        found = first_of(function(net, noise, labels, steps), is_array, IMAGES)
        return found.detach().cpu().numpy() if hasattr(found, "detach") else np.asarray(found)


LOSS = "a loss, losses per row, or a tuple that begins with either, as arrays of floating numbers"
IMAGES = "images, or a tuple that begins with them"


def first_of(found, is_number, expected=LOSS):
    """The loss (or losses, or images) in what a function of the port returned.

    Raises:
        TypeError: when there is none.
    """
    first = found[0] if isinstance(found, (tuple, list)) and found else found
    if not is_number(first) or 0 in first.shape:
        kind = getattr(first, "dtype", None)
        got = "None" if first is None else type(first).__name__
        if kind:
            got = "%s of shape %s" % (kind, tuple(first.shape))
        raise TypeError("it returned %s, expected %s" % (got, expected))
    return first


def is_array(x):
    return hasattr(x, "dtype") and hasattr(x, "shape") and "complex" not in str(x.dtype)


def _size(found):
    return len(found) if isinstance(found, (tuple, list)) else 0


# ----------------------------------------------------------------------------------------- JAX


class Jax:
    """Calls of a JAX port, with jit switched off so that every value is at hand.

    A forward pass records the calls; a second one, under jax.grad, yields the gradient at each
    answer, which is that of a vector of zeros (`tap`) added to the answers.
    """

    def __init__(self, tape):
        os.environ["XLA_FLAGS"] = quick_flags()
        import jax

        jax.config.update("jax_enable_x64", True)
        self.jax, self.jnp, self.tape, self.version = jax, jax.numpy, tape, jax.__version__
        self._vmap = jax.vmap
        jax.vmap, jax.linearize = self._loop, self._linearize
        jax.checkpoint = jax.remat = lambda fun=None, **options: fun if fun else lambda f: f
        self.counting = self.quiet = False
        self.ran = []
        compiled = jax.jit(
            lambda theta, z, t, h, *s: field(jax.numpy, theta, z, t, h, (*s, rolls(z)))
        )

        def within_jit(function):
            @functools.wraps(function)
            def call(*args, **kwargs):
                with jax.disable_jit(False):  # one program instead of a hundred
                    return function(*args, **kwargs)

            return call

        self._field = within_jit(
            lambda theta, z, t, h, pattern: compiled(theta, z, t, h, *pattern[:4])
        )
        for name in jax.random.__all__ if hasattr(jax.random, "__all__") else dir(jax.random):
            if inspect.isfunction(getattr(jax.random, name)) and not name.startswith("_"):
                setattr(jax.random, name, within_jit(getattr(jax.random, name)))

    def _linearize(self, fun, *primals, **options):
        """jax.linearize by jax.jvp, whose tangents the network can read."""
        jax = self.jax
        has_aux = options.get("has_aux", False)
        found = fun(*primals)

        def tangent(*tangents):
            return jax.jvp(lambda *x: fun(*x)[0] if has_aux else fun(*x), primals, tangents)[1]

        return (found[0], tangent, found[1]) if has_aux else (found, tangent)

    def _loop(self, fun, in_axes=0, out_axes=0, **options):
        """jax.vmap as a loop over the rows, each a call of the network with one row."""
        jax, jnp, real = self.jax, self.jnp, self._vmap
        plain = isinstance(in_axes, (int, tuple, list)) and out_axes == 0
        axes = in_axes if isinstance(in_axes, (tuple, list)) else None
        if not plain or (axes and any(not isinstance(axis, (int, type(None))) for axis in axes)):
            return real(fun, in_axes=in_axes, out_axes=out_axes, **options)

        def mapped(*args, **kwargs):
            each = tuple(axes) if axes else (in_axes,) * len(args)
            leaves = jax.tree_util.tree_leaves
            sizes = [leaves(x)[0].shape[axis] for x, axis in zip(args, each)
                     if axis is not None and leaves(x)]  # fmt: skip
            sizes += [leaf.shape[0] for leaf in leaves(kwargs)]
            rows = []
            for i in range(sizes[0]):
                take = jax.tree_util.tree_map
                row = [x if axis is None else take(lambda a: jnp.take(a, i, axis), x)  # noqa: B023
                       for x, axis in zip(args, each)]  # fmt: skip
                rows.append(fun(*row, **take(lambda a: a[i], kwargs)))  # noqa: B023
            return jax.tree_util.tree_map(lambda *x: jnp.stack(x), *rows)

        return mapped

    def seed(self, seed):
        random.seed(seed)
        np.random.seed(seed)

    def network(self, num_classes, dtype):
        self.jax.config.update("jax_enable_x64", True)  # the port may have changed it
        self.tape.networks = []
        return JaxNetwork(self, num_classes)

    def parameters(self, num_taps):
        jnp = self.jnp
        return {"theta": jnp.array(THETA), "theta_head": jnp.array(THETA_HEAD),
                "tap": jnp.zeros(num_taps)}  # fmt: skip

    def array(self, x, dtype):
        return self.jnp.asarray(x, dtype=dtype if x.dtype.kind == "f" else "int32")

    def plain(self, x):
        """NumPy array of the value below the tracers of jax.jvp."""
        while hasattr(x, "primal"):
            x = x.primal
        return np.asarray(x)

    def _tangent(self, x, like):
        if not hasattr(x, "tangent"):
            return None
        tangent = x.tangent
        if type(tangent).__name__ == "Zero":
            return np.zeros(like.shape)
        return self.plain(tangent)

    def answer(self, net, params, args, kwargs):
        jnp, tape = self.jnp, self.tape
        told = tape.meaning(args, kwargs)
        z = jnp.asarray(told["z"])
        if self.quiet:
            u = z * params["theta"][0].astype(z.dtype)
            return u if told.get("answer") is None else told["answer"](u, u)
        dtype, single = z.dtype, jnp.ndim(told["t"]) == 0 and tape.num_rows > 1 and z.ndim == 3
        rows = 1 if single else z.shape[0]
        flat = z.astype("float64").reshape(rows, -1)

        def time(x):
            x = jnp.asarray(x, dtype="float64").reshape(-1) / told.get("time_scale", 1)
            return jnp.broadcast_to(x, (rows,))

        t = time(told["t"])
        h = time(told["h"]) if told.get("h") is not None else None
        r = time(told["r"]) if told.get("r") is not None else None
        span = h if h is not None else t - r if r is not None else jnp.zeros_like(t)
        labels = told.get("labels")
        y, labelled = class_indices(None if labels is None else self.plain(labels), rows)
        pattern = patterns(flat.shape[1], y)
        u = self._field(params["theta"], flat, t, span, pattern)
        head = None
        if told.get("answer") is not None:
            head = self._field(params["theta_head"], flat, t, jnp.zeros_like(t), pattern)
        if self.counting:
            tap = params["tap"][self.offset : self.offset + u.size].reshape(u.shape)
            self.offset += u.size
            u = u + tap
            if head is not None:
                head = head + params["tap"][self.offset : self.offset + u.size].reshape(u.shape)
                self.offset += u.size
        else:
            call = dict(z=self.plain(flat), t=self.plain(t), h=self.plain(span), u=self.plain(u))
            call.update(labels=y, labelled=labelled, times=2 if told.keys() & {"r", "h"} else 1)
            theta = self.plain(params["theta"])
            call.update(theta=theta, network=int(not np.array_equal(theta, THETA)), grad=True)
            narrow = any(jnp.asarray(x).dtype != np.float64 for x in (z, told["t"]))
            call.update(training=True, single=narrow)
            call.update(second="h" if h is not None else "r" if r is not None else "")
            for name, x in (("z", flat), ("t", t), ("h", span)):
                tangent = self._tangent(x, call[name])
                if tangent is not None:
                    call["tangent_" + name] = tangent
            if any(key.startswith("tangent_") for key in call):
                for name in ("z", "t", "h"):
                    call.setdefault("tangent_" + name, np.zeros_like(call[name]))
            if head is not None:
                call["head"] = self.plain(head)
            tape.calls.append(call)
        u = u.reshape(z.shape).astype(dtype)
        if head is None:
            return u
        return told["answer"](u, head.reshape(z.shape).astype(dtype))

    def _is_number(self, x):
        return hasattr(x, "dtype") and self.jnp.issubdtype(x.dtype, self.jnp.floating)

    def _compiled(self, function, *args):
        """Run a function once as it is, with jit: some errors are raised only there."""
        if function not in self.ran:
            self.ran.append(function)
            self.quiet = True
            try:
                function(*args)
            finally:
                self.quiet = False
                self.jax.config.update("jax_enable_x64", True)  # the port may have switched it off

    def loss(self, function, net, images, labels, seed, gradient):
        jax, tape = self.jax, self.tape
        key, first = jax.random.PRNGKey(seed), None

        def run(params):
            nonlocal first
            found = function(net, params, images, labels, key)
            first = first_of(found, self._is_number)
            jax.config.update("jax_enable_x64", True)  # the port may have switched it off
            record["many"] = _size(found)
            return self.jnp.mean(first)

        record = {}
        self._compiled(function, net, self.parameters(1), images, labels, key)
        self.seed(seed)
        with jax.disable_jit():
            loss = run(self.parameters(1))
            record.update(loss=self.plain(loss), losses=self.plain(first))
            if gradient:
                sizes = [call["u"].size for call in tape.calls for _ in range(1 + ("head" in call))]
                self.counting, self.offset = True, 0
                try:
                    self.seed(seed)
                    grads = jax.grad(run)(self.parameters(max(1, sum(sizes))))
                finally:
                    self.counting = False
                taps, at = np.asarray(grads["tap"]), 0
                for call in tape.calls:
                    for name in ("cotangent", "cotangent_head")[: 1 + ("head" in call)]:
                        call[name] = taps[at : at + call["u"].size].reshape(call["u"].shape)
                        at += call["u"].size
                record.update(grad_theta=np.asarray(grads["theta"]))
                record.update(grad_head=np.asarray(grads["theta_head"]))
        return record

    def sample(self, function, net, noise, labels, steps, seed):
        params, key = self.parameters(1), self.jax.random.PRNGKey(seed)
        with self.jax.disable_jit():
            found = function(net, params, noise, labels, steps, key)
        self._compiled(function, net, params, noise, labels, steps, key)
        return np.asarray(first_of(found, is_array, IMAGES))


def quick_flags():
    """Flags of XLA with which it compiles fast: each operation is a program of its own here.

    Old versions end the process at a flag that they do not know.
    """
    from importlib.metadata import version

    release = tuple(int(part) for part in version("jaxlib").split(".")[:2])
    flags = "--xla_backend_optimization_level=0"
    return flags + (" --xla_cpu_use_fusion_emitters=false" if release >= (0, 7) else "")


class JaxNetwork:
    """Probe network in place of the port's: net(params, …), and net.apply as of flax."""

    def __init__(self, framework, num_classes):
        self.framework, self.num_classes = framework, num_classes

    module = property(lambda self: self)

    def __call__(self, params, *args, **kwargs):
        return self.framework.answer(self, params, args, kwargs)

    def apply(self, variables, *args, **kwargs):
        for name in ("rngs", "mutable", "method"):
            kwargs.pop(name, None)
        return self(variables.get("params", variables), *args, **kwargs)


# -------------------------------------------------------- real networks, for `diagnose --network`

# Channels, height and width of images, tried in turn.
SHAPES = ((3, 32, 32), (4, 32, 32), (1, 28, 28), (3, 8, 8))
STEPS = (1e-2, 1e-3, 1e-4)  # of central differences
GRID_STEP = 2e-4  # of the times at which rounding is looked for
ROLES = ("z", "t", "r", "h", "labels")


def first_array(found):
    """The answer of a network, or the first of several."""
    while isinstance(found, (tuple, list, dict)):
        found = next(iter(found.values() if isinstance(found, dict) else found))
    return found


def attribute(owners, names):
    """The first whole number, or pair of them, under one of these names."""
    for owner in owners:
        for name in names:
            value = getattr(owner, name, None)
            value = value[0] if isinstance(value, (tuple, list)) and value else value
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    return None


def shapes_of(port, net):
    """Shapes of images to try: the file's, those of the network's attributes, or common ones."""
    told = getattr(port.build, "shape", None) or getattr(port, "shape", None)
    if isinstance(told, (tuple, list)):
        return [tuple(told)]
    owners = (net, getattr(net, "config", None), getattr(net, "cfg", None))
    channels = attribute(owners, ("in_channels", "in_chans", "img_channels", "channels"))
    sizes = ("input_size", "img_size", "image_size", "img_resolution", "resolution")
    size = attribute(owners, sizes)
    known = [(channels or c, size or h, size or w) for c, h, w in SHAPES]
    return sorted(set(known), key=known.index)


class Recorded:
    """A call of a real network as the port's loss made it: its arguments, and what they are."""

    def __init__(self, tape, args, kwargs, plain):
        told = tape.meaning(args, kwargs)
        places = [(i, x) for i, x in enumerate(args)] + list(kwargs.items())
        self.places = {}
        for role in ROLES:
            value = told.get(role)
            at = [place for place, x in places if value is not None and x is value]
            self.places.update({role: at[0]} if at else {})
        self.args, self.kwargs = [plain(x) for x in args], {k: plain(x) for k, x in kwargs.items()}
        self.scale = told.get("time_scale", 1)
        self.rows = told["z"].shape[0]

    def get(self, role):
        place = self.places[role]
        return self.kwargs[place] if isinstance(place, str) else self.args[place]

    def call(self, function, changes, convert):
        """The function on these arguments, some changed."""
        args, kwargs = list(self.args), dict(self.kwargs)
        for role, value in changes.items():
            place = self.places[role]
            (kwargs if isinstance(place, str) else args)[place] = value
        args, kwargs = [convert(x) for x in args], {k: convert(x) for k, x in kwargs.items()}
        return first_array(function(*args, **kwargs))


class TorchReal:
    """A real network of a PyTorch port, as a function of its times."""

    def __init__(self, framework, net):
        torch = framework.torch
        self.framework, self.torch, self.net, self.calls = framework, torch, net, []
        real = self

        class Recorder(torch.nn.Module):
            """The real network, whose calls are written down."""

            def __init__(self):
                super().__init__()
                self.net = net

            module = property(lambda self: self)

            def __getattr__(self, name):
                try:
                    return super().__getattr__(name)
                except AttributeError:
                    return getattr(net, name)

            def forward(self, *args, **kwargs):
                tape = framework.tape
                real.calls.append(Recorded(tape, args, kwargs, real._plain))
                return self.net(*args, **kwargs)

        self.recorder = Recorder()

    def _plain(self, x):
        return self.torch.tensor(self.framework.plain(x)) if self.torch.is_tensor(x) else x

    def run(self, function, images, labels, seed):
        self.calls.clear()
        function(self.recorder, images, labels)

    def perturb(self):
        """Add noise to the parameters: one that starts at zero hides what comes before it."""
        torch = self.torch
        with torch.no_grad():
            for x in self.net.parameters():
                if x.requires_grad and x.is_floating_point():
                    fan_in = x[0].numel() if x.dim() > 1 else 25
                    x.add_(torch.randn(x.shape, device="cpu").to(x) * 0.5 / fan_in**0.5)

    def widen(self):
        """Use float64 where the network takes it."""
        import copy

        before, kept = self.answer({}), self.net
        self.wide = True
        try:
            self.net = copy.deepcopy(kept).double()
            if np.allclose(self.answer({}), before, rtol=0, atol=1e-2 * np.abs(before).max()):
                return
        except Exception:
            pass
        self.net, self.wide = kept, False

    wide = plain_attention = False

    def _convert(self, x):
        if not self.torch.is_tensor(x) or not x.is_floating_point():
            return x
        return x.double() if self.wide else x

    def array(self, x, like):
        return self.torch.as_tensor(np.asarray(x)).to(like.dtype)

    def _call(self, changes, train=False, seed=0):
        self.net.train(train)
        self.torch.manual_seed(seed)
        return self.recorded.call(self.net, changes, self._convert)

    def answer(self, changes, train=False, seed=0):
        with self.torch.no_grad():
            found = self._call(changes, train, seed)
        return found.detach().double().numpy()

    def jvp(self, changes, role):
        point = self._convert(changes.get(role, self.recorded.get(role)))
        function = lambda x: self._call(dict(changes, **{role: x}))  # noqa: E731
        tangent = self.torch.ones_like(point)
        try:
            found = self.torch.func.jvp(function, (point,), (tangent,))[1]
        except NotImplementedError:  # fused attention has no JVP; that of plain products has
            if self.plain_attention:
                raise
            self.plain_attention = True
            self.torch.backends.cuda.enable_flash_sdp(False)  # on the CPU too
            self.torch.backends.cuda.enable_mem_efficient_sdp(False)
            found = self.torch.func.jvp(function, (point,), (tangent,))[1]
        return found.detach().double().numpy()

    def kind(self):
        with self.torch.no_grad():
            return str(self._call({}).dtype).replace("torch.", "")

    def sines(self):
        """Arguments of sines and cosines in one call, and tensors given to the network's parts."""
        from torch.overrides import TorchFunctionMode

        torch, found, given = self.torch, [], []

        class Mode(TorchFunctionMode):
            """Writes down arguments of sines and cosines."""

            def __torch_function__(self, func, types, args=(), kwargs=None):
                if getattr(func, "__name__", "") in ("sin", "cos", "sin_", "cos_"):
                    found.append(args[0].detach().double().numpy())
                return func(*args, **(kwargs or {}))

        def hook(module, args):
            given.extend(x.detach().double().numpy() for x in args if torch.is_tensor(x))

        hooks = [part.register_forward_pre_hook(hook) for part in self.net.modules()
                 if part is not self.net]  # fmt: skip
        try:
            with Mode():
                self.answer({})
        finally:
            for each in hooks:
                each.remove()
        return found, given


class JaxReal:
    """A real network of a JAX port, as a function of its times."""

    def __init__(self, framework, net):
        self.framework, self.jax, self.jnp, self.calls = framework, framework.jax, framework.jnp, []
        self.names, self.wide, self.program = ["dropout"], False, None
        self.plain_attention = False
        pair = isinstance(net, tuple)
        self.net, self.params = net if pair else (net, None)
        self.flax = not pair or not callable(self.net)
        self.recorder = self

    module = property(lambda self: self)

    def __getattr__(self, name):  # num_classes and other attributes of the network
        if name in ("net", "params"):
            raise AttributeError(name)
        return getattr(self.net, name)

    def __call__(self, params, *args, **kwargs):
        for name in ("mutable", "method"):
            kwargs.pop(name, None)
        self.names += list(kwargs.pop("rngs", None) or {})
        self.calls.append(Recorded(self.framework.tape, args, kwargs, self._plain))
        plain_args = [self._plain(x) for x in args]
        plain_kwargs = {name: self._plain(x) for name, x in kwargs.items()}
        if self.params is None:  # a flax module: it is initialised at its first call
            key = self.jax.random.PRNGKey(0)
            self.params = self.net.init(self._keys(key), *plain_args, **plain_kwargs)
        return self._apply(self.jax.random.PRNGKey(1), *args, **kwargs)

    apply = __call__

    def _keys(self, key):
        return {name: self.jax.random.fold_in(key, i)
                for i, name in enumerate(["params", *dict.fromkeys(self.names)])}  # fmt: skip

    def _apply(self, key, *args, params=None, **kwargs):
        params = self.params if params is None else params
        if self.flax:
            return self.net.apply(params, *args, rngs=self._keys(key), **kwargs)
        return self.net(params, *args, **kwargs)

    def _plain(self, x):
        if hasattr(x, "primal") or isinstance(x, self.jax.Array):
            while hasattr(x, "primal"):
                x = x.primal
        return x

    def run(self, function, images, labels, seed):
        self.calls.clear()
        with self.jax.disable_jit():
            function(self, {"params": {}}, images, labels, self.jax.random.PRNGKey(seed))

    def _tree(self, function):
        self.params = self.jax.tree_util.tree_map(function, self.params)

    def perturb(self):
        numbers = np.random.RandomState(0)

        def noisy(x):
            if not self.framework._is_number(x):
                return x
            fan_in = x.size // x.shape[-1] if x.ndim > 1 else 25
            noise = numbers.standard_normal(x.shape) * 0.5 / fan_in**0.5
            return x + self.jnp.asarray(noise, x.dtype)

        self._tree(noisy)

    def widen(self):
        before, kept = self.answer({}), self.params
        self.wide = True
        try:
            self._tree(self._convert)
            if np.allclose(self.answer({}), before, rtol=0, atol=1e-2 * np.abs(before).max()):
                return
        except Exception:
            pass
        self.params, self.wide = kept, False

    def _convert(self, x):
        if not self.wide or not self.framework._is_number(x):
            return x
        return x.astype("float64")

    def array(self, x, like):
        return self.jnp.asarray(x, like.dtype)

    def _is_key(self, x):
        kind = str(getattr(x, "dtype", ""))
        return kind.startswith("key") or (kind == "uint32" and x.shape == (2,))

    def _call(self, changes, train=False, seed=0):
        key = self.jax.random.PRNGKey(seed if train else 0)  # training is what the port's call says

        def convert(x):  # a key among the arguments is that of the loss, or a new one
            if train and self._is_key(x):
                return self.jax.random.fold_in(x, seed)
            return self._convert(x)

        return self.recorded.call(functools.partial(self._compiled, key), changes, convert)

    def _compiled(self, key, *args, **kwargs):
        """The network as one program, whose arguments are all arrays among these."""
        leaves, structure = self.jax.tree_util.tree_flatten((args, kwargs))
        fixed = [None if hasattr(x, "dtype") else (x,) for x in leaves]
        arrays = [x for x in leaves if hasattr(x, "dtype")]
        if self.program is None:

            def program(params, key, arrays):
                given = iter(arrays)
                both = [next(given) if x is None else x[0] for x in fixed]
                args, kwargs = self.jax.tree_util.tree_unflatten(structure, both)
                return first_array(self._apply(key, *args, **kwargs, params=params))

            self.program = self.jax.jit(program)
        return self.program(self.params, key, arrays)

    def answer(self, changes, train=False, seed=0):
        return np.asarray(self._call(changes, train, seed)).astype(np.float64)

    def jvp(self, changes, role):
        point = self._convert(changes.get(role, self.recorded.get(role)))
        function = lambda x: self._call(dict(changes, **{role: x}))  # noqa: E731
        tangent = self.jax.jvp(function, (point,), (self.jnp.ones_like(point),))[1]
        return np.asarray(tangent).astype(np.float64)

    def kind(self):
        return str(self._call({}).dtype)

    def sines(self):
        jnp, found = self.jnp, []
        kept = jnp.sin, jnp.cos

        def noted(function):
            def call(x, *args, **kwargs):
                found.append(np.asarray(x).astype(np.float64))
                return function(x, *args, **kwargs)

            return call

        jnp.sin, jnp.cos = map(noted, kept)
        try:
            with self.jax.disable_jit():
                self.answer({})
            self.program = None  # it holds these
        finally:
            jnp.sin, jnp.cos = kept
        return found, []


def multiples(arrays, times):
    """(time, factor) of the arrays of which each column is proportional to one of the times.

    Args:
        arrays: arguments of sines: rows times frequencies; the rows of two times may follow each
            other, and so may the frequencies.
        times: {name: [rows]}; the largest factor of a time is its highest frequency.
    """
    found, rows = [], len(next(iter(times.values())))
    for x in arrays:
        if x.size == 0 or x.ndim == 0 or x.shape[0] % rows:
            continue
        columns = x.reshape(x.shape[0] // rows, rows, -1)
        known = ~columns.any(1)
        factors = []
        for name, t in times.items():
            ratio = columns / t[:, None]
            largest = np.abs(ratio).max(1)
            fits = (largest > 0) & (np.ptp(ratio, axis=1) <= 1e-2 * largest)
            known |= fits
            if fits.any():
                factors.append([name, float(largest[fits].max())])
        if known.all():
            found += factors
    return found


def attempt(function):
    """The answer of a function, or nothing and what it raised."""
    try:
        return function(), ""
    except Exception as error:
        return None, "%s: %s" % (type(error).__name__, " ".join(str(error).split())[:200])


def measured(real, null):
    """What `verify.ports.network` reads: answers of a real network at changed arguments.

    Returns:
        A dictionary of arrays, and one of words and lists.
    """
    call, rows = real.recorded, real.recorded.rows
    arrays, words = {}, dict(roles=sorted(call.places), errors={}, rows=rows)
    arrays["start"] = real.answer({})
    real.perturb()
    second = "h" if "h" in call.places else "r" if "r" in call.places else ""
    t = np.linspace(0.55, 0.95, rows) + 0.013 * np.arange(rows) % 0.05
    h = np.linspace(0.5, 0.15, rows) * t

    def give(role, values):
        like = call.get(role)
        return real.array(np.reshape(values, like.shape) * call.scale, like)

    def at(t, h):
        changes = {"t": give("t", t)}
        if second:
            changes[second] = give(second, h if second == "h" else t - h)
        return changes

    call.args, call.kwargs = list(call.args), dict(call.kwargs)
    base = at(t, h)
    for role, value in base.items():
        place = call.places[role]
        (call.kwargs if isinstance(place, str) else call.args)[place] = value
    sines, given = real.sines()
    times = dict(t=t, h=h, r=t - h)
    words.update(sines=multiples(sines, times), given=multiples(given, times), second=second)
    words["answer"] = real.kind()
    real.widen()
    words["wide"] = real.wide
    arrays["u"], arrays["again"] = real.answer({}, seed=1), real.answer({}, seed=2)
    for name, (mean_t, mean_h) in dict(base=(t, h), equal=(t, 0 * h)).items():
        point = at(mean_t, mean_h)
        arrays["%s/u" % name] = real.answer(point)
        for role in ("t", second)[: 1 + bool(second)]:
            found, error = attempt(lambda: real.jvp(point, role) * call.scale)  # noqa: B023
            if error:
                words["errors"]["%s/%s" % (name, role)] = error
            else:
                arrays["%s/jvp_%s" % (name, role)] = found
            value = mean_t if role == "t" else mean_h if second == "h" else mean_t - mean_h
            for i, step in enumerate(STEPS):
                ends = [real.answer(dict(point, **{role: give(role, value + sign * step)}))
                        for sign in (1, -1)]  # fmt: skip
                arrays["%s/difference_%s%d" % (name, role, i)] = (ends[0] - ends[1]) / (2 * step)
    steps = np.arange(8) * GRID_STEP
    for role, value in (("t", t), (second, h if second == "h" else t - h))[: 1 + bool(second)]:
        fine = [real.answer({role: give(role, value + step)})[:1] for step in np.r_[steps, 0.02]]
        arrays["fine_%s" % role] = np.stack(fine)
    words["plain_attention"] = real.plain_attention
    arrays["train"] = np.stack([real.answer({}, train=True, seed=i) for i in range(24)])
    if "labels" in call.places and null is not None:
        like = call.get("labels")
        labels = real.array(np.full(like.shape, null), like)
        found, error = attempt(lambda: real.answer({"labels": labels}))
        if not error:
            arrays["null"] = found
    return arrays, words


# -------------------------------------------------------------------------------------- requests


def where(error, port):
    """`file:line: source` of the innermost line of the port in a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if os.path.abspath(f.filename) != HERE]
    near = [f for f in own if "site-packages" not in f.filename and "<" not in f.filename]
    chosen = (near or own or [None])[-1]
    if chosen is None:
        return ""
    return "%s:%s: %s" % (os.path.basename(chosen.filename), chosen.lineno, chosen.line or "")


def load(path):
    """The port's file as a module, with its folder and the current one importable."""
    import importlib.util

    sys.path[:0] = [os.path.dirname(os.path.abspath(path)), ""]  # "" is the current folder
    spec = importlib.util.spec_from_file_location("port_under_diagnosis", path)
    port = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = port
    spec.loader.exec_module(port)
    return port


def declared_framework(path):
    """`framework = "…"` of a port's file, read without running it; torch where it is absent."""
    import ast

    with open(path, "rb") as file:
        tree = ast.parse(file.read())
    declared = "torch"
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            if any(isinstance(name, ast.Name) and name.id == "framework" for name in node.targets):
                declared = node.value.value
    return declared


def names_of(path):
    """Names that a file defines or assigns, imported ones left out."""
    import ast

    with open(path, "rb") as file:
        nodes = list(ast.walk(ast.parse(file.read())))
    stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return stored | {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef))}


class Server:
    """Answers requests about one port."""

    def __init__(self, path, folder):
        self.path, self.folder, self.framework = path, folder, None
        self.own = os.getpid()

    def load(self, request):
        self.path = request.get("file", self.path)
        declared = declared_framework(self.path)
        if declared not in ("torch", "jax"):
            return dict(refused="framework is %r, expected 'torch' or 'jax'" % (declared,))
        if self.framework is None:
            self.tape = Tape(None)
            self.framework = {"torch": Torch, "jax": Jax}[declared](self.tape)
        self.port = self.tape.port = load(self.path)
        names = [name for name in vars(self.port) if callable(getattr(self.port, name))]
        own = names_of(self.path)  # an imported loss_fn is the port's own business
        losses = [name for name in names
                  if name in own and (name == "loss" or name.startswith("loss_"))]  # fmt: skip
        if not callable(getattr(self.port, "network", None)) or not losses:
            return dict(refused="the file defines no function network and loss")
        claims = {name: value for name, value in vars(self.port).items()
                  if name == "claims" or name.startswith("claims_")}  # fmt: skip
        wrong = [name for name in claims if not isinstance(claims[name], dict)]
        if wrong:
            return dict(refused="%s is no dict of settings" % wrong[0])
        return dict(framework=declared, version=self.framework.version, losses=losses,
                    sample="sample" in names, build="build" in names,
                    claims=json.loads(json.dumps(claims, default=repr)))  # fmt: skip

    def inputs(self, request):
        """Network, images (or noise) and labels of a request."""
        numbers = np.random.RandomState(request["images_seed"])
        batch, size = request["batch"], request["size"]
        channels = request.get("channels", 3)
        nchw = (batch, channels, size, size)
        shape = nchw if self.port_is_torch() else (batch, size, size, channels)
        draw = numbers.standard_normal if request["op"] == "sample" else numbers.uniform
        images = draw(size=shape) if request["op"] == "sample" else draw(-1, 1, shape)
        images = images * request.get("scale", 1.0)
        labels = np.random.RandomState(batch).randint(request["num_classes"], size=batch)
        net = self.framework.network(request["num_classes"], request["dtype"])
        self.tape.start(batch)
        self.framework.seed(request["seed"])
        given = None if request.get("unlabelled") else self.framework.array(labels, "int64")
        return net, self.framework.array(images, request["dtype"]), given, images, labels

    def port_is_torch(self):
        return isinstance(self.framework, Torch)

    def loss(self, request, keep=True):
        net, given, labels, images, classes = self.inputs(request)
        self.given = images, classes
        function = getattr(self.port, request["name"])
        record = self.framework.loss(
            function, net, given, labels, request["seed"], request["gradient"]
        )
        return self.keep(record, images, classes) if keep else None

    def draws(self, request):
        """Many runs of a loss, of which only times, labels and marks of each row are kept.

        In the columns of `rows`: run, call, t, h, label, whether a gradient came back, whether
        there was a tangent, whether there were labels; `z` and `images` where it is asked for.
        """
        columns, states, given = [], [], []
        for number, seed in enumerate(request["seeds"]):
            self.loss(dict(request, seed=seed), keep=False)
            for at, call in enumerate(self.tape.calls):
                rows = len(call["t"])
                cotangent = (
                    call.get("cotangent", np.zeros(1)),
                    call.get("cotangent_head", np.zeros(1)),
                )
                live = sum(
                    np.abs(np.broadcast_to(c, (rows, c.shape[-1]))).sum(1) for c in cotangent
                )
                columns.append(np.stack([
                    np.full(rows, number), np.full(rows, at), call["t"], call["h"], call["labels"],
                    live, np.full(rows, "tangent_z" in call), np.full(rows, call["labelled"]),
                ], axis=1))  # fmt: skip
                states.append(call["z"])
            given.append(self.given)
        arrays = dict(rows=np.concatenate(columns) if columns else np.zeros((0, 8)),
                      classes=given[0][1])  # fmt: skip
        if request.get("with_z"):
            arrays.update(z=np.concatenate(states), images=given[0][0])
        self.store(arrays)
        return dict(num_rows=len(arrays["rows"]))

    def sample(self, request):
        net, given, labels, noise, classes = self.inputs(request)
        error = None
        record = {}
        try:
            answer = self.framework.sample(
                self.port.sample, net, given, labels, request["steps"], request["seed"]
            )
            record["answer"] = answer
        except Exception as problem:  # calls made until then are told all the same
            error = problem
        reply = self.keep(record, noise, classes)
        if error is not None:
            reply.update(self.failure(error))
        return reply

    def real(self, request):
        """Measurements of the network that `build` of the port's file returns (--network).

        It is called as the port's own loss calls it: the last call of it is kept, and repeated with
        other times and labels.
        """
        framework, port = self.framework, self.port
        self.framework.network(1, "float32")  # what a port sets in the whole process is set back
        framework.seed(request["seed"])
        net = port.build()
        real = (TorchReal if self.port_is_torch() else JaxReal)(framework, net)
        num_classes = attribute([net, getattr(real, "net", None)], ("num_classes",))
        first = None
        for shape in shapes_of(port, real.net):
            for unlabelled in (False, True):
                try:
                    self.record_real(real, request, shape, unlabelled, num_classes or 10)
                except Exception as error:
                    first = first or error
                if real.calls:
                    break
            if real.calls:
                break
        useful = [call for call in real.calls if "t" in call.places]
        if not useful:
            if first is not None and not real.calls:
                raise first
            return dict(refused="no argument of its network is the time t that network() returns")
        real.recorded = max(useful, key=lambda call: len(call.places))
        arrays, words = measured(real, num_classes or 10)
        self.store(arrays)
        return words

    def record_real(self, real, request, shape, unlabelled, num_classes):
        channels, height, width = shape
        torch = self.port_is_torch()
        numbers = np.random.RandomState(request["seed"])
        images = numbers.uniform(-1, 1, (4, *shape) if torch else (4, height, width, channels))
        labels = numbers.randint(num_classes, size=4)
        given = None if unlabelled else self.framework.array(labels, "int64")
        self.tape.start(4)
        function = getattr(self.port, request["name"])
        real.run(function, self.framework.array(images, "float32"), given, request["seed"])

    def keep(self, record, images, classes):
        """Store arrays of a record and of the tape."""
        arrays = {name: np.asarray(value) for name, value in record.items()}
        arrays.update(images=images, classes=classes)
        for i, call in enumerate(self.tape.calls):
            arrays.update({"call%d/%s" % (i, key): np.asarray(x) for key, x in call.items()})
        self.store(arrays)
        return dict(num_calls=len(self.tape.calls))

    def store(self, arrays):
        """Leave arrays where the one that asks reads them; a fork of this process leaves none."""
        if os.getpid() != self.own:
            os._exit(0)
        np.savez(os.path.join(self.folder, "answer.npz"), **arrays)

    def failure(self, error):
        """A reply that tells an exception of the port in one line, with the port's own line."""
        text = " ".join(str(error).split())
        return dict(error="%s: %s" % (type(error).__name__, text[:300]),
                    kind=type(error).__name__, where=where(error, self.path))  # fmt: skip

    def answer(self, request):
        try:
            return getattr(self, request["op"])(request)
        except BaseException as error:
            return self.failure(error)


def end_with(parent):
    """End this process, and all that the port has started, when the one that asks has ended."""
    while os.getppid() == parent:
        time.sleep(1)
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def private_streams():
    """Requests and replies, out of reach of the port, whose own output goes to standard error."""
    requests, replies = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, replies


def main():
    """Answer requests until there are no more."""
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    requests, replies = private_streams()
    sys.path[:] = [x for x in sys.path if os.path.abspath(x) != os.path.dirname(HERE)]
    server = Server(sys.argv[1], sys.argv[2])
    while True:
        line = requests.readline()
        if not line:
            break
        reply = server.answer(json.loads(line))
        if os.getpid() != server.own:
            os._exit(0)
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
