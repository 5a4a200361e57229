"""The PyTorch implementation is ordinary PyTorch: modules, state_dicts, optimizers."""

import copy

import numpy as np
import pytest

from impls.common import parameters
from impls.common.dtypes import as_dtype

torch = pytest.importorskip("torch")

from torch.utils._pytree import tree_leaves  # noqa: E402

from impls import meanflow_torch  # noqa: E402
from impls.meanflow_torch import network as network_file  # noqa: E402
from verify.cases import with_method  # noqa: E402

TIMES = (1.0, 0.4, 0.0)


@pytest.fixture
def inputs(case):
    """Parameters, batch and draws as tensors, float32."""
    params = meanflow_torch.load_params(case.config, case.params)
    return params, *meanflow_torch.put((case.batch, case.draws))


@pytest.fixture
def default_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def loaded_module(case):
    """A module whose names and shapes are those of the parameters, all of which it trains."""
    module = meanflow_torch.DiT(case.config.network)
    module.load_state_dict(meanflow_torch.load_params(case.config, case.params), strict=True)
    assert all(parameter.requires_grad for parameter in module.parameters())
    return module


def assert_identical(one, other):
    pairs = list(zip(tree_leaves(one), tree_leaves(other), strict=True))
    assert pairs
    assert all(x.dtype == y.dtype and torch.equal(x, y) for x, y in pairs)


# The module


def test_forward_mode_is_the_first_to_use_a_network(case, inputs, monkeypatch):
    monkeypatch.setattr(network_file, "_MODULES", {})
    params, x = inputs[0], meanflow_torch.put(case.inputs)
    config = with_method(case.config, jvp="autodiff")
    arrays = (x.z, x.r, x.t, x.labels, x.tangent)
    _, du_dt = meanflow_torch.mean_velocity_jvp(config, params, *arrays)
    _, expected = meanflow_torch.mean_velocity_jvp(case.config, params, *arrays)
    torch.testing.assert_close(du_dt, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(5,), (4, 5)])
@pytest.mark.parametrize("affine", [True, False])
def test_forward_mode_keeps_the_layer_norm_of_any_network(shape, affine):
    layer = torch.nn.LayerNorm(shape, eps=0.1, elementwise_affine=affine, dtype=torch.float64)
    for number, parameter in enumerate(layer.parameters(), start=2):
        torch.nn.init.constant_(parameter, number)
    x = torch.linspace(-1, 1, 60, dtype=torch.float64).reshape(3, 4, 5) ** 3
    with network_file._PlainLayerNorm():
        found = layer(x)
    assert not torch.equal(found, layer(x))  # from other operations
    torch.testing.assert_close(found, layer(x), rtol=1e-12, atol=1e-12)


def test_the_module_computes_the_mean_velocity(case, inputs):
    params, *_ = inputs
    x = meanflow_torch.put(case.inputs)
    u = loaded_module(case)(x.z, x.t, x.h, x.labels)
    expected = meanflow_torch.mean_velocity(case.config, params, x.z, x.t, x.h, x.labels)
    assert torch.equal(u, expected)
    assert u.any()


@pytest.mark.parametrize("seed", [0, 5])
def test_a_new_module_starts_from_the_initial_parameters(tiny, seed):
    state = meanflow_torch.get(dict(meanflow_torch.DiT(tiny.network, seed).state_dict()))
    made = parameters.from_torch(tiny.network, state)
    expected = parameters.initial_parameters(tiny.network, seed)
    for name, array in expected.items():
        assert array.dtype == made[name].dtype, name
        np.testing.assert_array_equal(made[name], array, err_msg=name)


def test_a_new_module_leaves_the_global_random_state_as_it_was(tiny):
    before = torch.get_rng_state()
    meanflow_torch.DiT(tiny.network)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_module_on_the_meta_device_takes_no_memory(tiny):
    assert all(x.is_meta for x in network_file.meta_module(tiny.network).parameters())


def test_the_loss_can_be_differentiated_by_its_caller(case, inputs):
    params, batch, draws = inputs
    _, expected = meanflow_torch.loss_and_gradient(case.config, params, batch, draws)
    module = loaded_module(case)
    out = meanflow_torch.loss(case.config, dict(module.named_parameters()), batch, draws)
    out.total.backward()
    assert_identical({name: x.grad for name, x in module.named_parameters()}, expected)


# What a call leaves behind


def test_a_step_leaves_no_graph(case, inputs):
    params, batch, draws = inputs
    wanted = {name: x.requires_grad_() for name, x in params.items()}
    out, gradient = meanflow_torch.loss_and_gradient(case.config, wanted, batch, draws)
    assert not any(x.requires_grad or x.grad_fn for x in tree_leaves((out, gradient)))
    assert all(x.requires_grad and x.grad is None for x in params.values())


def test_a_step_and_a_sample_leave_their_inputs_as_they_were(case, inputs):
    params, batch, draws = inputs
    before = [x.clone() for x in tree_leaves(inputs)]
    meanflow_torch.loss_and_gradient(case.config, params, batch, draws)
    meanflow_torch.sample(case.config, params, draws.noise, batch.labels, TIMES)
    assert_identical(tree_leaves(inputs), before)
    assert not any(x.requires_grad for x in tree_leaves(inputs))


def test_what_was_fetched_stays_when_training_goes_on(case, inputs):
    params, *_ = inputs
    fetched = (meanflow_torch.export_params(case.config, params), meanflow_torch.get(params))
    before = copy.deepcopy(fetched)
    for tensor in params.values():
        tensor.add_(1)  # as an optimizer does
    np.testing.assert_equal(fetched, before)


def test_what_was_put_stays_when_the_numpy_array_changes():
    array = np.zeros(3, np.float32)
    tensor = meanflow_torch.put(array)
    array += 1
    assert not tensor.any()


# Modes of PyTorch


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_sampling_without_gradient_gives_the_same_images(case, inputs, mode):
    params, batch, draws = inputs
    arguments = (case.config, params, draws.noise, batch.labels, TIMES)
    expected = meanflow_torch.sample(*arguments)
    with mode():
        assert_identical(meanflow_torch.sample(*arguments), expected)


def test_the_network_can_be_trained_after_its_first_use_in_inference_mode(case, inputs):
    params, batch, draws = inputs
    expected = meanflow_torch.loss_and_gradient(case.config, *inputs)
    network_file._MODULES.clear()
    with torch.inference_mode():
        meanflow_torch.sample(case.config, params, draws.noise, batch.labels, TIMES)
    assert_identical(meanflow_torch.loss_and_gradient(case.config, *inputs), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.usefixtures("default_float64")
def test_the_default_dtype_changes_nothing(case, dtype):
    def everything():
        network_file._MODULES.clear()
        params, batch, draws = as_dtype((case.params, case.batch, case.draws), dtype)
        params = meanflow_torch.load_params(case.config, params)
        batch, draws = meanflow_torch.put((batch, draws))
        step = meanflow_torch.loss_and_gradient(case.config, params, batch, draws)
        noise, labels = draws.noise, batch.labels
        return (*step, meanflow_torch.sample(case.config, params, noise, labels, TIMES))

    there = everything()
    torch.set_default_dtype(torch.float32)
    assert_identical(there, everything())
    reals = {x.dtype for x in tree_leaves(there) if x.is_floating_point()}
    assert reals == {torch.float32 if dtype == np.float32 else torch.float64}


def test_activations_leave_no_hooks(case, inputs):
    x = meanflow_torch.put(case.inputs)
    meanflow_torch.activations(case.config, inputs[0], x.z, x.t, x.h, x.labels)
    modules = network_file.meta_module(case.config.network).modules()
    assert not any(module._forward_hooks for module in modules)
