"""A second network, planted where one is looked up: a module in each text, a table of tensors.

It is a perceptron of two layers. The loss, its derivative, gradients, training, sampling and
checkpoints of the planted texts then agree as those of the DiT do, by the same checks.
"""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from small_runs import small

from impls.common import draws, parameters
from impls.common.draws import Stream
from impls.common.parameters import Tensor
from impls.common.types import Batch
from verify.cases import Case, perturbed_parameters
from verify.checks import all_checks
from verify.mutants import altered
from verify.outcome import PASS
from verify.probe import Probe
from verify.runner import outcome_of

pytest.importorskip("jax")
pytest.importorskip("torch")

ROOT = Path(__file__).parents[3]
# What is planted, and where.
MODULES = {
    "impls/meanflow_jax/network.py": """

class DiT(nn.Module):
    size: Network

    @nn.compact
    def __call__(self, z, t, h, labels):
        width, shape = self.size.hidden_size, (self.size.num_classes + 1, self.size.hidden_size)
        inputs = jnp.concatenate([z.reshape(len(z), -1), t[:, None], h[:, None]], axis=1)
        table = self.param("embedding", _normal, shape, jnp.float32)
        hidden = jnp.tanh(Dense(width, init=_xavier, name="hidden")(inputs) + table[labels])
        return Dense(z[0].size, init=_xavier, name="out")(hidden).reshape(z.shape)
""",
    "impls/meanflow_torch/network.py": """

class DiT(nn.Module):
    def __init__(self, size, seed=0):
        super().__init__()
        pixels = size.input_size**2 * size.in_channels
        self.embedding = nn.Parameter(torch.empty(size.num_classes + 1, size.hidden_size))
        self.hidden = nn.Linear(pixels + 2, size.hidden_size)
        self.out = nn.Linear(size.hidden_size, pixels)

    def forward(self, z, t, h, labels):
        inputs = torch.cat([z.flatten(1), t[:, None], h[:, None]], 1)
        hidden = torch.tanh(self.hidden(inputs) + self.embedding[labels])
        return self.out(hidden).reshape(z.shape)
""",
}


def tensors(network):
    """Stands in for `impls.common.parameters.tensors`."""
    width, pixels = network.hidden_size, network.input_size**2 * network.in_channels
    rows = [Tensor("embedding", (network.num_classes + 1, width), "normal", "-", "embedding")]
    for name, fan_in, fan_out in (("hidden", pixels + 2, width), ("out", width, pixels)):
        rows.append(Tensor(f"{name}/kernel", (fan_in, fan_out), "xavier", "-", f"{name}.weight"))
        rows.append(Tensor(f"{name}/bias", (fan_out,), "zeros", "-", f"{name}.bias"))
    return tuple(rows)


@pytest.fixture(scope="module")
def planted():
    """A case of the second network, and the two texts that have it."""
    config = small(training__batch_size=6, method__jvp="autodiff", method__class_dropout_prob=0.5)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as texts:
        patch.setattr(parameters, "tensors", tensors)
        copies = []
        for path, module in MODULES.items():
            package, _, file = path.rpartition("/")
            source = (ROOT / path).read_text(encoding="utf-8") + module
            copies.append(texts.enter_context(altered(package, file, source)))
        images = draws.normal((6, *draws.image_shape(config.network)), 1, Stream.CHECK, 3)
        batch = Batch(images, np.arange(6, dtype=np.int32))
        given = perturbed_parameters(config, 1)
        yield Case("mlp", config, given, batch, draws.training_draws(config, 1, 0, 6)), copies


def test_the_two_texts_agree_on_a_second_network_and_its_derivative_is_one(planted):
    case, copies = planted
    probes = tuple(Probe(text, np.float64, (case,)) for text in copies)
    asked = [(check, probes) for check in all_checks().values() if check.family == "cross"]
    asked += [(all_checks()["jvp_matches_central_difference"], (probe,)) for probe in probes]
    found = [outcome_of(check, "mlp", judged) for check, judged in asked]
    assert [outcome for outcome in found if outcome.status != PASS] == []
    assert len(found) >= 12
