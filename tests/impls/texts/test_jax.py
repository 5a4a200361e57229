"""The JAX implementation under jit, vmap and sharding, in 64-bit and in 32-bit mode."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from impls.common import draws
from impls.common.config import Config
from impls.common.dtypes import as_dtype
from verify.checks import all_checks
from verify.outcome import PASS
from verify.probe import Probe
from verify.runner import outcome_of

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from impls import meanflow_jax  # noqa: E402

ROOT = Path(__file__).parents[3]
EXACT = 1e-11  # the same float64 operations, ordered by the compiler

ANOTHER_PROCESS = """
import sys
import numpy as np
import jax
from impls import meanflow_jax
from impls.common.dtypes import as_dtype
from verify.cases import cases
from verify.compare import loss_errors, tensor_errors

case = cases()[0]
params, batch, step = as_dtype((case.params, case.batch, case.draws), np.dtype(sys.argv[1]))
params = meanflow_jax.load_params(case.config, params)
run = jax.jit(meanflow_jax.loss_and_gradient, static_argnums=0)
"""

SHARDED = """
from jax.sharding import Mesh, NamedSharding, PartitionSpec

assert jax.device_count() == 2
mesh = Mesh(np.array(jax.devices()), ("batch",))
split = NamedSharding(mesh, PartitionSpec("batch"))
spread = jax.device_put(meanflow_jax.put((batch, step)), split)
params = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))
assert len(spread[0].images.sharding.device_set) == 2
out, gradient = run(case.config, params, *spread)
gradient = meanflow_jax.export_params(case.config, gradient)
out_errors = loss_errors(meanflow_jax.get(out), case.step[0])
for where, error in (*out_errors, *tensor_errors(gradient, case.step[1])):
    assert error <= 1e-11, (where, error)
print("same", out.u.sharding.is_equivalent_to(split, 4))
"""

NARROW = """
assert not jax.config.jax_enable_x64
batch, step = meanflow_jax.put((batch, step))
out, gradient = run(case.config, params, batch, step)
sample = meanflow_jax.sample(case.config, params, step.noise, batch.labels, (1.0, 0.3, 0.0))
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


def test_an_average_that_warms_up_is_compiled_once_and_keeps_its_precision(tiny):
    warm = {"ema_warmup": True, "ema_every": 2}
    config = tiny.model_copy(update={"training": tiny.training.model_copy(update=warm)})

    @jax.jit
    def update(step, average):
        return meanflow_jax.update_average(config, step, 0.15, average, {"p": jnp.float32(1)})

    found, average = [], {"p": jnp.float32(0)}
    for step in range(1, 5):
        average = update(jnp.int32(step), average)
        found.append(float(average["p"]))
    assert found == pytest.approx([0, 0.9, 0.9, 0.985], rel=1e-6)
    assert update._cache_size() == 1
    assert average["p"].dtype == "float32"


def test_the_loss_may_be_compiled_and_mapped_over_draws(case, wide):
    params, batch, _ = wide
    steps = [
        meanflow_jax.put(as_dtype(draws.training_draws(case.config, 0, i, 4), np.float64))
        for i in range(3)
    ]

    def loss(step):
        return meanflow_jax.loss(case.config, params, batch, step)

    stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *steps)
    mapped = jax.jit(jax.vmap(loss))(stacked)
    for i, step in enumerate(steps):
        assert_same(jax.tree.map(lambda x, i=i: x[i], mapped), loss(step))


def test_sampling_may_be_compiled_and_mapped_over_parameters(case, wide):
    params, batch, step = wide
    networks = [params, jax.tree.map(lambda x: 1.1 * x, params)]

    def sample(params):
        return meanflow_jax.sample(case.config, params, step.noise, batch.labels, (1.0, 0.4, 0.0))

    stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *networks)
    for row, each in zip(jax.jit(jax.vmap(sample))(stacked), networks, strict=True):
        assert_same(row, sample(each))


# Devices and precisions


def test_a_batch_split_over_two_devices_gives_the_answers_of_one():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    out = run_elsewhere(SHARDED, "float64", XLA_FLAGS=flags, JAX_PLATFORMS="cpu")
    assert out.strip() == "same True"


def test_32_bit_mode_computes_in_float32_and_refuses_float64():
    out = run_elsewhere(NARROW, "float32", JAX_ENABLE_X64="0")
    assert out.startswith("refused float64 array given to JAX in 32-bit mode")


def test_float32_stays_float32_in_64_bit_mode(case):
    assert jax.config.jax_enable_x64
    params = meanflow_jax.load_params(case.config, case.params)
    batch, step = meanflow_jax.put((case.batch, case.draws))
    run = jax.jit(meanflow_jax.loss_and_gradient, static_argnums=0)
    out, gradient = run(case.config, params, batch, step)
    sample = meanflow_jax.sample(case.config, params, step.noise, batch.labels, (1.0, 0.3, 0.0))
    kinds = {name: str(array.dtype) for name, array in out._asdict().items()}
    assert kinds.pop("labels_in") == "int32"
    assert set(kinds.values()) == {"float32"}
    assert {str(array.dtype) for array in jax.tree.leaves((gradient, sample))} == {"float32"}
    assert not any(array.weak_type for array in jax.tree.leaves((out, gradient, sample)))


# The module


def test_the_initialisers_of_the_module_follow_the_shared_laws(monkeypatch):
    def init_params(config, seed):
        size = config.network
        image = jnp.zeros((1, size.input_size, size.input_size, size.in_channels), "float32")
        time, label = jnp.zeros(1, "float32"), jnp.zeros(1, "int32")
        init = jax.jit(meanflow_jax.DiT(size).init)
        return init(jax.random.key(seed), image, time, time, label)["params"]

    monkeypatch.setattr(meanflow_jax, "init_params", init_params)
    check = all_checks()["initial_parameters_follow_their_laws"]
    probe = Probe(meanflow_jax, np.float32, ())
    assert outcome_of(check, "the module", (probe,)).status == PASS
