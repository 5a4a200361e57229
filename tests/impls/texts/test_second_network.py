"""A second network, added as anybody would add one: a module in each text, its tensors, a row.

It is a perceptron of two layers, without a JVP by hand and without a form for dual numbers. Every
check that is driven by cases then judges it as it judges the DiT.
"""

import importlib
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from impls.common.networks.table import Network, Tensor
from reference.layers import silu, silu_jacobian
from verify import cases
from verify.cases import make_case
from verify.checks import all_checks
from verify.outcome import FAIL, NOT_APPLICABLE
from verify.probe import Probe
from verify.runner import outcome_of

jnp = pytest.importorskip("jax.numpy")
linen = pytest.importorskip("flax.linen")
torch = pytest.importorskip("torch")

TABLE = "y_embedder/embedding"


def times_of(size, t, h):
    """The times that the network takes, each [batch, 1]."""
    return [{"t": t, "r": t - h, "h": h}[name][:, None] for name in size.times]


# Sizes and tensors


@dataclass(frozen=True, kw_only=True)
class Sizes(Network):
    kind = "mlp"
    hidden_size: int


def resolve(model, dataset):
    return Sizes(
        input_size=dataset.image_size,
        in_channels=dataset.image_channels,
        num_classes=dataset.num_classes,
        times=tuple(model.embedding.split("_")),
        hidden_size=model.hidden_size,
    )


def tensors(size):
    width, pixels = size.hidden_size, size.input_size**2 * size.in_channels
    rows = [Tensor(TABLE, (size.num_classes + 1, width), "normal", "table", "y_embedder.weight")]
    layers = (
        ("hidden", pixels + len(size.times), width, "xavier"),
        ("out", width, pixels, "zeros"),
    )
    for name, fan_in, fan_out, law in layers:
        kernel, bias = f"{name}/kernel", f"{name}/bias"
        rows.append(Tensor(kernel, (fan_in, fan_out), law, f"net/{kernel}", f"{name}.weight"))
        rows.append(Tensor(bias, (fan_out,), "zeros", f"net/{bias}", f"{name}.bias"))
    return tuple(rows)


# The network in each text


class InJax(linen.Module):
    size: Sizes

    @linen.compact
    def __call__(self, z, t, h, labels):
        times = [time.astype(z.dtype) for time in times_of(self.size, t, h)]
        inputs = jnp.concatenate([z.reshape(len(z), -1), *times], axis=1)
        width = self.size.hidden_size
        table = linen.Embed(self.size.num_classes + 1, width, name="y_embedder")
        hidden = linen.silu(linen.Dense(width, name="hidden")(inputs) + table(labels))
        return linen.Dense(z[0].size, name="out")(hidden).reshape(z.shape)


class InTorch(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size, pixels = size, size.input_size**2 * size.in_channels
        self.y_embedder = torch.nn.Embedding(size.num_classes + 1, size.hidden_size)
        self.hidden = torch.nn.Linear(pixels + len(size.times), size.hidden_size)
        self.out = torch.nn.Linear(size.hidden_size, pixels)

    def forward(self, z, t, h, labels):
        times = [time.to(z.dtype) for time in times_of(self.size, t, h)]
        inputs = torch.cat([z.flatten(1), *times], 1)
        hidden = torch.nn.functional.silu(self.hidden(inputs) + self.y_embedder(labels))
        return self.out(hidden).reshape(z.shape)


def forward(size, params, z, t, h, labels):
    inputs = np.concatenate([z.reshape(len(z), -1), *times_of(size, t, h)], 1)
    hidden = inputs @ params["hidden/kernel"] + params["hidden/bias"]
    before = hidden + params[TABLE][labels]
    out = silu(before) @ params["out/kernel"] + params["out/bias"]
    u = out.reshape(z.shape)
    found = {"y_embedder": params[TABLE][labels], "hidden": hidden, "out": out}
    return SimpleNamespace(inputs=inputs, before=before, labels=labels, u=u, activations=found)


def vjp(size, params, res, cotangent):
    g = cotangent.reshape(len(cotangent), -1)
    ghidden = silu_jacobian(res.before, g @ params["out/kernel"].T)
    table = np.zeros(params[TABLE].shape, ghidden.dtype)
    np.add.at(table, res.labels, ghidden)
    return {
        TABLE: table,
        "hidden/kernel": res.inputs.T @ ghidden,
        "hidden/bias": ghidden.sum(0),
        "out/kernel": silu(res.before).T @ g,
        "out/bias": g.sum(0),
    }


# What is added to old files: a row in each of these tables, by module and name.
ROWS = {
    ("impls.common.networks", "NETWORKS"): SimpleNamespace(
        CLASSES=("MLP",), Sizes=Sizes, resolve=resolve, tensors=tensors
    ),
    ("impls.meanflow_jax.network", "NETWORKS"): InJax,
    ("impls.meanflow_torch.network", "NETWORKS"): InTorch,
    ("reference.network", "NETWORKS"): SimpleNamespace(
        forward=forward, vjp=vjp, activations=lambda _params, res: res.activations
    ),
    ("verify.cases", "SETTINGS"): (
        {
            "cls": "MLP", "input_size": 8, "in_channels": 1, "hidden_size": 16, "num_classes": 10,
        }, 8, {"class_dropout_prob": 0.5},
    ),
}  # fmt: skip
SETTINGS = ("omega", "unguided", "omega_window", "uniform")  # cases of these settings too
FAMILIES = {
    np.float64: "weights network jvp objective gradient sampling training checkpoint precision",
    np.float32: "network jvp gradient checkpoint precision",
}
# Checks of parts that only the DiT has.
OF_THE_DIT = {
    "patch_and_position_embedding_match", "time_embedding_matches", "interval_embedding_matches",
    "modulation_matches", "attention_matches", "mlp_matches", "blocks_match", "final_layer_matches",
}  # fmt: skip


@pytest.fixture(scope="module")
def added():
    """The problems of the second network, its own row first."""
    with pytest.MonkeyPatch.context() as patch:
        for (module, table), row in ROWS.items():
            patch.setitem(getattr(importlib.import_module(module), table), "mlp", row)
        sizes, rows, _ = own = cases.SETTINGS["mlp"]
        more = ((f"mlp_{name}", (sizes, rows, cases.SETTINGS[name][2])) for name in SETTINGS)
        yield tuple(make_case(name, *row) for name, row in (("mlp", own), *more))


def test_a_network_takes_a_row_in_at_most_five_old_files():
    assert len({module for module, _ in ROWS}) <= 5


SUBJECTS = ("reference", "impls.meanflow_jax", "impls.meanflow_torch")


def outcomes(added, dtype, *names):
    """Of every check of the families on this subject, or on this pair of subjects."""
    probes = tuple(Probe(importlib.import_module(name), dtype, added) for name in names)
    families = FAMILIES[dtype] if len(names) == 1 else "cross"
    chosen = [c for c in all_checks().values() if c.family in families.split() and not c.full]
    return [outcome_of(check, "mlp", probes) for check in chosen]


@pytest.mark.parametrize("dtype", FAMILIES)
@pytest.mark.parametrize("name", SUBJECTS)
def test_every_check_driven_by_cases_passes_on_a_second_network(added, name, dtype):
    found = outcomes(added, dtype, name)
    assert [(o.check, o.error, o.tolerance, o.detail) for o in found if o.status == FAIL] == []
    if name != "reference" and dtype == np.float64:
        by_precision = {"checkpoint_round_trip_is_exact", "resume_is_bit_equal"}
        by_precision |= {check for check in all_checks() if check.startswith("bfloat16")}
        silent = {outcome.check for outcome in found if outcome.status == NOT_APPLICABLE}
        assert silent == OF_THE_DIT | by_precision


def test_the_two_texts_agree_on_a_second_network(added):
    found = outcomes(added, np.float64, *SUBJECTS[1:])
    assert [(o.check, o.error, o.tolerance, o.detail) for o in found if o.status == FAIL] == []
    assert sum(outcome.status != NOT_APPLICABLE for outcome in found) >= 7
