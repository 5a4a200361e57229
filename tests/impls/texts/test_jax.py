"""The JAX implementation under jit, vmap and sharding, in 64-bit and in 32-bit mode."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from impls.common import draws, parameters
from impls.common.config import Config
from impls.common.config_files import from_sizes
from verify.cases import LATENT, as_dtype

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from impls import meanflow_jax  # noqa: E402

ROOT = Path(__file__).parents[3]
EXACT = 1e-11  # the same float64 operations, ordered by the compiler

ANOTHER_PROCESS = """
import sys
import numpy as np
import jax
import jax.numpy as jnp
from impls import meanflow_jax
from impls.common import draws
from impls.common.config_files import from_sizes
from impls.common.types import Batch
from verify.cases import DIGITS, as_dtype, cases
from verify.compare import used_derivative

case, dtype = cases()[0], np.dtype(sys.argv[1])
params, batch, step = as_dtype((case.params, case.batch, case.draws), dtype)
"""

SHARDED = """
from jax.sharding import Mesh, NamedSharding, PartitionSpec

assert jax.device_count() == 2
params = meanflow_jax.load_params(case.config, params)
mesh = Mesh(np.array(jax.devices()), ("batch",))
split = NamedSharding(mesh, PartitionSpec("batch"))
spread = jax.device_put(meanflow_jax.put((batch, step)), split)
params = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))
assert len(spread[0].images.sharding.device_set) == 2
run = jax.jit(meanflow_jax.loss_and_gradient, static_argnums=0)
out, gradient = run(case.config, params, *spread)
gradient = meanflow_jax.export_params(case.config, gradient)
found, expected = (x._replace(du_dt=used_derivative(x)) for x in (out, case.step[0]))
for name, array in expected._asdict().items():
    error = np.abs(np.asarray(getattr(found, name)) - array).max()
    assert error <= 1e-11 * np.abs(array).max(), (name, error)
for name, array in case.step[1].items():
    error = np.abs(gradient[name] - array).max()
    assert error <= 1e-11 * max(np.abs(array).max(), 1e-3), (name, error)
print("same", out.u.sharding.is_equivalent_to(split, 4))
"""

NARROW = """
assert not jax.config.jax_enable_x64
loaded = meanflow_jax.load_params(case.config, params)
batch, step = meanflow_jax.put((batch, step))
run = jax.jit(meanflow_jax.loss_and_gradient, static_argnums=0)
out, gradient = run(case.config, loaded, batch, step)
sample = meanflow_jax.sample(case.config, loaded, step.noise, batch.labels, (1.0, 0.3, 0.0))
found = {str(array.dtype) for array in jax.tree.leaves((out, gradient, sample))}
assert found == {"float32", "int32"}, found
try:
    meanflow_jax.put({"x": np.zeros(3)})
except ValueError as error:
    print("refused", error)
"""


@pytest.fixture(scope="module")
def wide(case):
    """Parameters, batch and draws on the device, float64."""
    params, batch, step = as_dtype((case.params, case.batch, case.draws), np.float64)
    return meanflow_jax.load_params(case.config, params), *meanflow_jax.put((batch, step))


@pytest.fixture(scope="module")
def compiled():
    """The loss and its gradient, compiled afresh."""

    def step(*arguments):
        return meanflow_jax.loss_and_gradient(*arguments)

    return jax.jit(step, static_argnums=0)


def run_elsewhere(code, dtype, **environment):
    command = [sys.executable, "-c", ANOTHER_PROCESS + code, dtype]
    variables = {**os.environ, **environment}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=variables, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def assert_same(one, other):
    """Two trees of the same form whose arrays agree to float64 rounding."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for (path, left), right in zip(
        jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(other), strict=True
    ):
        largest = max(float(np.abs(right).max()), 1e-3)
        assert float(np.abs(left - right).max()) <= EXACT * largest, path


# Compilation


def test_compiled_and_eager_steps_agree(case, wide, compiled):
    assert_same(compiled(case.config, *wide), meanflow_jax.loss_and_gradient(case.config, *wide))


def test_compiled_and_eager_samples_agree(case, wide):
    params, batch, step = wide
    arguments = (case.config, params, step.noise, batch.labels, (1.0, 0.4, 0.0))
    compiled = jax.jit(meanflow_jax.sample, static_argnums=(0, 4))
    assert_same(compiled(*arguments), meanflow_jax.sample(*arguments))


def test_new_values_do_not_compile_again(case, wide, compiled):
    params, batch, _ = wide
    step = meanflow_jax.put(
        as_dtype(draws.training_draws(case.config, 0, 1, len(case.batch.labels)), np.float64)
    )
    one, _ = compiled(case.config, *wide)
    num_compiled = compiled._cache_size()
    other, _ = compiled(case.config, jax.tree.map(lambda x: 2 * x, params), batch, step)
    assert compiled._cache_size() == num_compiled
    assert not np.array_equal(one.u, other.u)


def test_an_equal_configuration_does_not_compile_again_and_another_does(tiny):
    step = meanflow_jax.put(draws.training_draws(tiny, 0, 0, 4))
    times = jax.jit(meanflow_jax.times, static_argnums=0)
    before = times._cache_size()
    first = times(tiny, step)
    times(Config.model_validate(tiny.model_dump()), step)
    assert times._cache_size() == before + 1
    method = tiny.method.model_copy(update={"P_mean": 1.5})
    assert not np.array_equal(times(tiny.model_copy(update={"method": method}), step)[0], first[0])
    assert times._cache_size() == before + 2


def test_a_wrong_shape_is_named_while_tracing(case, wide, compiled):
    params, batch, step = wide
    with pytest.raises(ValueError, match=r"t_raw has shape \(4, 1, 1, 1\), expected \(4,\)"):
        compiled(case.config, params, batch, step._replace(t_raw=step.t_raw[:, None, None, None]))


# Vectorisation


def test_batches_of_draws_may_be_mapped_over(case, wide):
    params, batch, _ = wide
    steps = [
        meanflow_jax.put(as_dtype(draws.training_draws(case.config, 0, i, 4), np.float64))
        for i in range(3)
    ]
    stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *steps)
    loss = jax.jit(meanflow_jax.loss, static_argnums=0)
    mapped = jax.vmap(lambda step: loss(case.config, params, batch, step))(stacked)
    for i, step in enumerate(steps):
        assert_same(jax.tree.map(lambda x, i=i: x[i], mapped), loss(case.config, *wide[:2], step))


def test_parameters_may_be_mapped_over(case, wide):
    params, batch, step = wide
    others = [params, jax.tree.map(lambda x: 1.1 * x, params)]
    stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *others)
    times = jnp.full(4, 0.7)

    def u(params):
        return meanflow_jax.mean_velocity(
            case.config, params, step.noise, times, times, batch.labels
        )

    for row, each in zip(jax.vmap(u)(stacked), others, strict=True):
        assert_same(row, u(each))


# Devices and precisions


def test_a_batch_split_over_two_devices_gives_the_answers_of_one():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    out = run_elsewhere(SHARDED, "float64", XLA_FLAGS=flags, JAX_PLATFORMS="cpu")
    assert out.strip() == "same True"


def test_32_bit_mode_computes_in_float32_and_refuses_float64():
    out = run_elsewhere(NARROW, "float32", JAX_ENABLE_X64="0")
    assert out.startswith("refused float64 array given to JAX in 32-bit mode")


def test_float32_stays_float32_in_64_bit_mode(case, compiled):
    assert jax.config.jax_enable_x64
    params = meanflow_jax.load_params(case.config, case.params)
    batch, step = meanflow_jax.put((case.batch, case.draws))
    out, gradient = compiled(case.config, params, batch, step)
    sample = meanflow_jax.sample(case.config, params, step.noise, batch.labels, (1.0, 0.3, 0.0))
    kinds = {name: str(array.dtype) for name, array in out._asdict().items()}
    assert kinds.pop("labels_in") == "int32"
    assert set(kinds.values()) == {"float32"}
    leaves = jax.tree.leaves((out, gradient, sample))
    assert {str(array.dtype) for array in leaves} == {"float32", "int32"}
    assert not any(array.weak_type for array in leaves)


# The module


def test_the_initialisers_of_the_module_follow_the_shared_laws():
    config = from_sizes({**LATENT, "hidden_size": 96, "depth": 1}, {})
    size = config.network
    image = jnp.zeros((1, size.input_size, size.input_size, size.in_channels), "float32")
    time, label = jnp.zeros(1, "float32"), jnp.zeros(1, "int32")
    key = jnp.array([0, 7], "uint32")
    tree = jax.jit(meanflow_jax.DiT(size).init)(key, image, time, time, label)["params"]
    made = meanflow_jax.export_params(config, tree)
    ours = parameters.initial_parameters(size, 0)
    for tensor in parameters.tensors(size):
        array, expected = made[tensor.name], ours[tensor.name]
        assert (array.shape, array.dtype) == (tensor.shape, np.float32), tensor.name
        assert array.any() == expected.any() == (tensor.law != "zeros"), tensor.name
        assert array.std() == pytest.approx(expected.std(), rel=0.1), tensor.name
        if tensor.law == "xavier":  # uniform: the largest is sqrt(3) deviations
            assert np.abs(array).max() == pytest.approx(np.abs(expected).max(), rel=0.01)
