"""Strict mode for every test, and what the tests share.

The directory works with JAX alone, with PyTorch alone and with neither: what is missing is skipped.
"""

import atexit
import importlib
import importlib.util
import os
import random
import shutil
import tempfile
import time

from verify.compilation import QUICK

# Float64 where asked and exact float32 products: read by JAX when it is first imported.
os.environ["JAX_ENABLE_X64"] = "1"
os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"
# Tiny problems: threads would mostly wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NPROC", "1")
os.environ.setdefault("XLA_FLAGS", QUICK)

# What one process compiles, the other workers and subprocesses of the same run read.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jax-compiled-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import hypothesis
import pytest
from repetitions import num_examples, of_act, one_in_twenty

from impls.common import draws
from impls.common.config_files import from_sizes
from impls.common.types import Batch
from impls.data import digits
from verify.cases import Case, perturbed_parameters

hypothesis.settings.register_profile("house", deadline=None, derandomize=True)
hypothesis.settings.load_profile("house")

if importlib.util.find_spec("jax"):
    import jax

    jax.config.update("jax_numpy_rank_promotion", "raise")
if importlib.util.find_spec("torch"):
    import torch

    torch.use_deterministic_algorithms(True)

# The smallest network that has every part: two patches a side, two heads, two blocks.
TINY = {
    "input_size": 4, "patch_size": 2, "in_channels": 1, "hidden_size": 8, "depth": 2,
    "num_heads": 2, "mlp_ratio": 2.0, "num_classes": 10,
}  # fmt: skip
ROWS = 4
FRAMEWORKS = {"impls.meanflow_jax": "jax", "impls.meanflow_torch": "torch"}


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")
    parser.addoption("--soak", metavar="ACT", help="all of one act's repetitions, and nothing else")
    parser.addoption("--soak-seed", type=int, default=0, help="of their draws and their order")
    parser.addoption("--soak-until", type=float, help="start none after this time, in s since 1970")


def pytest_configure(config):
    # PyTorch says this of its own code, when its forward-mode derivatives are first used.
    config.addinivalue_line("filterwarnings", "ignore:.torch.jit.script. is deprecated")
    # Another process is writing the entry, or was killed while it was: JAX compiles again.
    config.addinivalue_line("filterwarnings", "ignore:Error reading persistent compilation cache")


@pytest.hookimpl(trylast=True)  # after -k and -m have chosen
def pytest_collection_modifyitems(config, items):
    act = config.getoption("--soak")
    kept = of_act(act, config.getoption("--soak-seed"), items) if act else one_in_twenty(items)
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept
    if not act and not config.getoption("--slow"):
        skip = pytest.mark.skip(reason="takes minutes: run it with --slow")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)


def pytest_runtest_setup(item):
    until = item.config.getoption("--soak-until")
    if until and time.time() > until:
        pytest.skip("the time is up")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call" and hasattr(item, "hypothesis_statistics"):
        report.user_properties.append(("repetitions", num_examples(item.hypothesis_statistics)))
    return report


@pytest.fixture
def moments(request):
    """Random numbers for what happens when: of the seed of the soak and the test's own name."""
    seed = request.config.getoption("--soak-seed")
    return random.Random(f"{seed} {request.node.name}")  # noqa: S311


@pytest.fixture(scope="session")
def tiny():
    """The configuration of the smallest network, with the official method."""
    return from_sizes(TINY, {"class_dropout_prob": 0.3})


@pytest.fixture(scope="session")
def case(tiny):
    """One problem for the smallest network: parameters, batch and draws, float32 NumPy."""
    images, labels = digits()
    batch = Batch(images[:ROWS, 2:6, 2:6], labels[:ROWS])
    params = perturbed_parameters(tiny, 1)
    return Case("tiny", tiny, params, batch, draws.training_draws(tiny, 1, 0, ROWS))


@pytest.fixture(params=["jax", "torch"])
def framework(request):
    """Each framework that is installed."""
    pytest.importorskip(request.param)
    return str(request.param)


@pytest.fixture(scope="session", params=FRAMEWORKS)
def subject(request):
    """Each implementation whose framework is installed."""
    pytest.importorskip(FRAMEWORKS[request.param])
    return importlib.import_module(request.param)
