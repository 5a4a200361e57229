"""FLOPs and bytes of a step, against those that the frameworks count."""

from types import SimpleNamespace

import numpy as np
import pytest
from refusals import refusal

from bench.forms import configuration
from bench.plan.encoder_work import PUBLISHED, encoder_work
from bench.plan.work import Work, calls, dit_sizes, forward, step_work
from impls.common.config_files import load_config
from impls.common.errors import UserError
from impls.files.autoencoder import Autoencoder, AutoencoderConfig, tensor_shapes
from results.published import published

ROWS = 8
SIZES = {"model.cls": "DiT_B_4", "model.depth": 2, "training.batch_size": ROWS}
FORMS = ("flow matching", "unguided sparse", "guided sparse", "guided dense")


@pytest.mark.parametrize("form", FORMS)
def test_flops_are_those_that_xla_counts(form):
    pytest.importorskip("jax")
    from bench.steps import Step
    from impls.frameworks import implementation

    config = configuration("mf_b4", SIZES, form)
    counted = Step(implementation("jax"), config).cost.flops
    assert step_work(config, ROWS).flops == pytest.approx(counted, rel=0.05)
    assert step_work(config, ROWS).flops < counted  # XLA counts elementwise operations too


@pytest.mark.parametrize("number", published("forward_gflops"), ids=lambda n: n.preset)
def test_a_forward_pass_has_the_published_gflops(number):
    """The paper counts a multiply-add as one."""
    network = load_config(number.preset).network
    assert forward(network, 1, 4).flops / 2e9 == pytest.approx(number.value, rel=0.01)


def test_rows_of_each_network_call_are_those_of_the_objective():
    def rows(form, **changes):
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        return calls(configuration("mf_b4", changes, form), 32)

    assert rows("flow matching") == (32, 0, 0)
    assert rows("unguided sparse") == (32, 8, 0)
    assert rows("unguided dense") == (32, 32, 0)
    assert rows("guided sparse") == (32, 8, 40)
    assert rows("guided dense") == (32, 32, 64)
    assert rows("guided sparse", method__kappa=0) == (32, 8, 32)
    assert rows("guided dense", method__kappa=0) == (32, 32, 32)
    assert rows("guided sparse", method__equal_rows="random") == (32, 32, 64)
    assert rows("unguided sparse", method__tangent_velocity="network") == (32, 8, 8)
    one = calls(configuration("mf_b4", {}, "guided sparse"), 1)  # int(0.75) = 0 rows with r = t
    assert one == (1, 1, 2)


def test_work_adds_up_over_rows_parts_and_recomputation():
    config = configuration("mf_b4", {}, "flow matching")
    one, two = step_work(config, 4), step_work(config, 8)
    parts = step_work(config, 4, num_parts=2)
    assert two.flops == parts.flops == 2 * one.flops
    assert one.bytes < two.bytes < parts.bytes  # which reads the parameters twice
    assert step_work(config, 4, recomputed=True).flops == one.flops * 4 / 3
    assert Work(1, 2) + Work(3, 4) * 2 == Work(7, 10)
    assert forward(config.network, 0, 4) == Work(0, 0)


def test_bfloat16_moves_half_of_the_operands_and_the_same_state():
    full, half = (
        step_work(configuration("mf_b4", {"training.precision": precision}, "flow matching"), 32)
        for precision in ("float32", "bfloat16")
    )
    state = step_work(configuration("mf_b4", {}, "flow matching"), 0)
    assert half.flops == full.flops
    assert half.bytes - state.bytes == (full.bytes - state.bytes) / 2


def test_a_tangent_gradient_goes_back_through_the_tangents():
    method = {"method.jvp": "dense", "method.tangent_gradient": 1.0}
    with_it = step_work(configuration("mf_b4", method, "unguided dense"), 32)
    without = step_work(configuration("mf_b4", {}, "unguided dense"), 32)
    assert 1.45 < with_it.flops / without.flops < 1.55  # 6 passes instead of 4


def test_another_network_is_refused():
    other = SimpleNamespace(kind="unet")
    assert refusal(UserError, dit_sizes, other) == (
        "the work of a unet is not counted, expected a DiT"
    )


def test_the_encoder_has_the_flops_that_pytorch_counts():
    pytest.importorskip("diffusers")
    torch = pytest.importorskip("torch")
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from impls.meanflow_torch.vision.autoencoder import encode, load_autoencoder

    small = AutoencoderConfig(block_out_channels=(32, 64), layers_per_block=2)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in tensor_shapes(small).items()}
    model = load_autoencoder(Autoencoder(small, tensors))
    plain = sdpa_kernel(SDPBackend.MATH)  # whose products the counter sees
    with FlopCounterMode(display=False) as counter, torch.no_grad(), plain:
        encode(model, torch.zeros(2, 32, 32, 3))
    assert encoder_work(small, 32, 2).flops == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_the_published_encoder_has_a_work_like_that_of_the_largest_dit():
    encoder = encoder_work(PUBLISHED, 256, 1)
    largest = forward(load_config("mf_xl2").network, 1, 4)
    assert 1 < encoder.flops / largest.flops < 1.3
    assert 0 < encoder.bytes < largest.bytes
