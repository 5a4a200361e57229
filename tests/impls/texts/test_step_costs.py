"""What one step costs, as the compiler counts it, and that the training loop pays it only once."""

import numpy as np
import pytest
from small_runs import small

from bench.forms import FLOW_MATCHING, FORMS
from bench.steps import make_batch
from impls.common.config_files import load_config
from impls.common.draws import training_draws
from impls.frameworks import implementation

SMALL = {"training.batch_size": 32, "model.depth": 2}


@pytest.fixture
def cost(framework):
    module = implementation(framework)

    def counted(form, more=None):
        config = load_config("digits", SMALL | FORMS[form] | (more or {}))
        state = module.init_state(config, module.init_params(config, 0))
        inputs = module.put((make_batch(config), training_draws(config, 0, 0)))
        return module.compile_with_cost(config, state, *inputs)[1]

    return counted


def test_sparse_steps_need_the_arithmetic_that_is_claimed(cost):
    """A quarter of the rows has a tangent: 3.25 forward-equivalents to 3, and 4.5 to 6."""
    matching, unguided = cost(FLOW_MATCHING), cost("unguided sparse")
    sparse, dense = cost("guided sparse"), cost("guided dense")
    assert 1.07 < unguided.flops / matching.flops <= 1.09
    assert 0.74 < sparse.flops / dense.flops <= 0.76
    assert sparse.peak_bytes < dense.peak_bytes
    assert sparse.compile_seconds >= 0


def test_a_loss_that_changes_with_the_steps_is_counted(cost):
    constant = {"method.tangent_gradient": 1.0}
    rising = constant | {"method.tangent_gradient_steps": 5}
    one, other = (cost("unguided sparse", more) for more in (constant, rising))
    assert other.flops == pytest.approx(one.flops, rel=0.01)


def test_flops_are_those_of_the_network(cost):
    """Within a tenth of 6 FLOPs for each weight of a matrix, token and row, plus attention."""
    size = load_config("digits", SMALL).network
    width, tokens = size.hidden_size, (size.input_size // size.patch_size) ** 2
    block = (4 + 2 * size.mlp_ratio) * width**2 * tokens + 2 * tokens**2 * width + 6 * width**2
    pixels = size.patch_size**2 * size.in_channels
    ends = 2 * pixels * width * tokens + 2 * (256 + width) * width + 2 * width**2
    expected = 6 * 32 * (size.depth * block + ends)
    assert cost(FLOW_MATCHING).flops == pytest.approx(expected, rel=0.15)


def test_peak_memory_holds_the_state(framework, cost):
    """Parameters, average and two moments are there all along, and a gradient in the end."""
    module = implementation(framework)
    config = load_config("digits", SMALL)
    params = module.export_params(config, module.init_params(config, 0))
    held = 4 * sum(array.nbytes for array in params.values())
    assert held < cost("guided sparse").peak_bytes < 20 * held


def _three_steps(module, config):
    """A step each time it is asked for, with another batch and other draws."""
    step = module.compile_step(config)
    state = module.init_state(config, module.init_params(config, 0))
    for number in range(4):
        batch = make_batch(config)
        batch = module.put(batch._replace(images=np.roll(batch.images, number)))
        draws = module.put(training_draws(config, 0, number))
        state, metrics = step(state, batch, draws)
        module.sync(metrics)
        yield number


def test_the_jax_step_is_compiled_once():
    jax = pytest.importorskip("jax")
    compiled = []

    def listen(event, _seconds, **_about):
        if "backend_compile" in event:
            compiled.append(event)

    steps = _three_steps(implementation("jax"), small(training__schedule="cosine"))
    next(steps)
    next(steps)  # the state of the first step came from other functions
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        assert list(steps) == [2, 3]
        assert not compiled
        jax.jit(lambda x: x + 3)(np.float32(1))
        assert compiled  # the listener hears what is compiled
    finally:
        jax.monitoring.clear_event_listeners()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method")  # PyTorch says it of its own code
def test_the_pytorch_step_is_compiled_once():
    torch = pytest.importorskip("torch")
    config = small(training__compile="always", training__schedule="cosine")
    steps = _three_steps(implementation("torch"), config)
    next(steps)
    with torch.compiler.set_stance("fail_on_recompile"):
        assert list(steps) == [1, 2, 3]


def test_the_jax_step_reuses_the_memory_of_its_state():
    jax = pytest.importorskip("jax")
    module, config = implementation("jax"), small()
    state = module.init_state(config, module.init_params(config, 0))
    arguments = module.put((make_batch(config), training_draws(config, 0, 0)))
    module.compile_step(config)(state, *arguments)
    kept = [array for array in jax.tree.leaves(state) if not array.is_deleted()]
    assert not kept
    assert not any(array.is_deleted() for array in jax.tree.leaves(arguments))
