"""The derivatives written by hand in the reference, in networks of any size, and its layers.

Tangents are held to the complex step, which is exact to rounding, and cotangents to adjointness,
<J d, w> = <d, J^T w>. What verify asks of an implementation it asks of the reference too, which
has to agree with it, with complex steps, differences and the official numbers.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from impls.common import draws
from impls.common.config_files import from_sizes
from impls.common.draws import Stream
from impls.common.dtypes import as_dtype
from reference import derivative, layers
from reference.network import mean_velocity_vjp
from verify.cases import perturbed_parameters
from verify.compare import relative_error

EXACT = 1e-11  # rounding of float64, amplified by a few layers
STEP = 1e-40


def normal(seed, *shape):
    return draws.normal(shape, seed, Stream.CHECK).astype(np.float64)


@st.composite
def problems(draw):
    """Odd little networks with parameters, inputs and directions, all float64."""
    heads, patch = draw(st.sampled_from([1, 3])), draw(st.sampled_from([1, 2, 3]))
    sizes = {
        "input_size": patch * draw(st.integers(1, 3)),
        "patch_size": patch,
        "in_channels": draw(st.integers(1, 3)),
        "hidden_size": 4 * heads * draw(st.integers(1, 2)),
        "depth": draw(st.integers(1, 3)),
        "num_heads": heads,
        "mlp_ratio": draw(st.sampled_from([0.5, 1.3, 4.0])),
        "num_classes": draw(st.integers(1, 5)),
    }
    config, rows, seed = from_sizes(sizes, {}), draw(st.integers(1, 4)), draw(st.integers(0, 99))
    shape = (rows, *draws.image_shape(config.network))
    t, r = np.sort(draws.uniform((2, rows), seed, Stream.CHECK, 1), axis=0)[::-1]
    params = perturbed_parameters(config, seed)
    return SimpleNamespace(
        config=config,
        params=as_dtype(params, np.float64),
        z=normal(seed, *shape),
        t=t.astype(np.float64),
        r=r.astype(np.float64),
        labels=np.arange(rows, dtype=np.int32) % (config.network.num_classes + 1),
        tangent=normal(seed + 100, *shape),
        cotangent=normal(seed + 200, *shape),
        direction={name: normal(seed + i, *a.shape) for i, (name, a) in enumerate(params.items())},
    )


# Layers


@pytest.mark.parametrize("shift", [0.0, 1e3, -1e3])
def test_softmax_sums_to_one_and_never_overflows(shift):
    x = 5 * normal(0, 3, 4) + shift
    np.testing.assert_allclose(layers.softmax(x).sum(-1), 1, rtol=1e-15)
    np.testing.assert_allclose(layers.softmax(x), layers.softmax(x - shift), rtol=1e-12)


def test_layer_norm_has_mean_zero_and_the_documented_epsilon():
    y = layers.layer_norm(np.array([[-1e-3, 1e-3]]))  # variance 1e-6, as large as epsilon
    np.testing.assert_allclose(y, np.array([[-1, 1]]) / np.sqrt(2), rtol=1e-12)


@given(st.integers(1, 6), st.integers(1, 7))
def test_the_position_embedding_encodes_the_column_first(quarter, grid):
    table = layers.position_embedding(4 * quarter, grid)
    assert (table.shape, table.dtype) == ((grid * grid, 4 * quarter), np.float64)
    for token in range(grid * grid):
        for half, place in enumerate((token % grid, token // grid)):  # column, then row
            for k in range(quarter):
                angle = place / 10000 ** (k / quarter)
                got = table[token, 2 * quarter * half + k :: quarter][:2]
                np.testing.assert_allclose(got, [np.sin(angle), np.cos(angle)], atol=1e-14)


# The network


@settings(max_examples=30)
@given(problems())
def test_the_tangent_is_the_complex_step(at):
    inputs = (at.config, at.params, at.z, at.r, at.t, at.labels, at.tangent)
    u, du_dt = reference.mean_velocity_jvp(*inputs)
    assert relative_error(du_dt, derivative.complex_step_jvp(*inputs)) <= EXACT
    value = reference.mean_velocity(at.config, at.params, at.z, at.t, at.t - at.r, at.labels)
    np.testing.assert_array_equal(u, value)


@settings(max_examples=30)
@given(problems())
def test_the_vjp_is_the_adjoint_of_the_complex_step(at):
    inputs = (at.z, at.t, at.t - at.r, at.labels)
    gradient = mean_velocity_vjp(at.config, at.params, *inputs, at.cotangent)
    assert list(gradient) == list(at.params)
    for name, d in at.direction.items():  # <J d, w> = <d, J^T w>, one tensor at a time
        moved = at.params | {name: at.params[name] + 1j * STEP * d}
        jvp = reference.mean_velocity(at.config, moved, *inputs).imag / STEP
        scale = np.linalg.norm(jvp) * np.linalg.norm(at.cotangent)
        difference = abs(np.vdot(jvp, at.cotangent) - np.vdot(d, gradient[name]))
        assert difference <= EXACT * max(scale, 1e-3), name


def test_activations_are_those_of_every_module_with_parameters(case):
    x = case.inputs
    found = reference.activations(case.config, case.params, x.z, x.t, x.h, x.labels)
    modules = {name.rsplit("/", 1)[0] for name in case.params}
    top = {name.split("/")[0] for name in modules}
    inside = {"/".join(name.split("/")[:2]) for name in modules if name.startswith("blocks_")}
    assert set(found) == top | inside


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_quantity_keeps_the_dtype(case, dtype):
    inputs = as_dtype((case.params, case.batch, case.draws), dtype)
    out, gradient = reference.loss_and_gradient(case.config, *inputs)
    kinds = {name: np.asarray(array).dtype for name, array in out._asdict().items()}
    assert kinds.pop("labels_in") == np.int32
    assert set(kinds.values()) == {array.dtype for array in gradient.values()} == {np.dtype(dtype)}


# The derivatives that judge


@given(st.lists(st.floats(-2, 2), min_size=5, max_size=5), st.floats(0.01, 1))
def test_the_central_difference_is_exact_for_quartics(terms, step):
    got = derivative.central_difference(lambda s: np.polyval(terms, s), step)
    assert got == pytest.approx(terms[-2], rel=0, abs=1e-12 / step)


def test_the_error_of_the_central_difference_is_of_fourth_order():
    errors = [abs(derivative.central_difference(np.exp, step) - 1) for step in (0.2, 0.1)]
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.05)
