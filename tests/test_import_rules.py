"""Who may import whom, and who may make random numbers; read from the source with `ast`."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec, resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("impls", "reference", "verify", "bench", "results")
JAX = ("jax", "jaxlib", "flax", "optax", "orbax", "chex")
# safetensors by itself is NumPy, and a requirement of the project; its part for PyTorch is not.
TORCH = ("torch", "torchvision", "safetensors.torch", "diffusers", "cleanfid")
TESTS = ("tests", "conftest")

# It writes the stand-in of a TorchScript file, which takes PyTorch; nothing else imports it.
STANDIN_WRITERS = ("verify/fixtures/inception_module.py",)
# They run in the environment of the official code; the one draws new golden inputs there, the other
# watches what the official code draws.
GOLDEN_WRITER = ("verify/official/golden_writer.py", "verify/official/run.py")
DEVICE_DRAWS = ("impls/meanflow_jax/draws.py", "impls/meanflow_torch/draws.py")
# The authors' step draws for itself, from a key.
OFFICIAL_STEP = "bench/official_step.py"
MAKES_RANDOM_NUMBERS = ("impls/common/draws.py", *DEVICE_DRAWS, *GOLDEN_WRITER, OFFICIAL_STEP)
# The default subjects of the command line, those whose copies mutants are planted in, and those
# whose records tables show under a shorter name.
NAMES_SUBJECTS = (
    "meanflow_repro/verify.py",
    "verify/mutants/plant.py",
    "results/tabulate/cells.py",
)
RUNS_WHEN_IMPORTED = ("__main__.py",)

# folder, what nothing in it may import
RULES = [
    ("impls", ("reference",)),
    ("impls/common", (*JAX, *TORCH, "impls.meanflow_jax", "impls.meanflow_torch", "verify")),
    ("impls/protocol.py", (*JAX, *TORCH, "impls.meanflow_jax", "impls.meanflow_torch", "verify")),
    ("reference", (*JAX, *TORCH, "impls", "verify", "bench", "results")),
    ("results", (*JAX, *TORCH, "impls.meanflow_jax", "impls.meanflow_torch")),
    ("impls/meanflow_jax", (*TORCH, "impls.meanflow_torch", "verify", "bench")),
    ("impls/meanflow_torch", (*JAX, "impls.meanflow_jax", "verify", "bench")),
    ("verify", ("impls.meanflow_jax", "impls.meanflow_torch", "bench")),
    ("bench", ("impls.meanflow_jax", "impls.meanflow_torch")),
]
RANDOM = re.compile(
    r"(numpy|jax|jax\.numpy)\.random\b"
    r"|torch\.(rand|manual_seed|seed|Generator|random|normal|bernoulli|multinomial|poisson)"
    r"|(random|secrets|os\.urandom)\b"
    r"|.*\.(normal_|uniform_|bernoulli_|random_|exponential_|rvs|default_rng|RandomState)$"
)


def sources(folder: str) -> list[Path]:
    path = ROOT / folder
    return [path] if path.suffix else sorted(path.rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def package_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).parts[:-1])


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Absolute names of what is imported anywhere in a file, by statement or by a literal name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                module = resolve_name("." * node.level + module, package).rstrip(".")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func).split(".")[-1]
            if called in ("import_module", "__import__") and node.args:
                argument = node.args[0]
                if isinstance(argument, ast.Constant):
                    yield str(argument.value)


def is_part_of(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def random_uses(tree: ast.AST) -> Iterator[str]:
    """Full names of what makes random numbers, whatever it is imported as."""
    alias: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                top = name.name.split(".")[0]
                alias[name.asname or top] = name.name if name.asname else top
        elif isinstance(node, ast.ImportFrom) and not node.level:
            alias |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
    named = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    known = [f"{alias.get(top, '.' + top)}{dot}{rest}" for top, dot, rest in (
        name.partition(".") for name in named
    )]  # fmt: skip
    yield from (name for name in [*known, *alias.values()] if RANDOM.match(name))


# The rules on the source


@pytest.mark.parametrize(("folder", "banned"), RULES, ids=[folder for folder, _ in RULES])
def test_a_folder_imports_nothing_that_it_may_not(folder: str, banned: tuple[str, ...]) -> None:
    paths = sources(folder)
    assert paths
    for path in paths:
        found = imports(ast.parse(path.read_text()), package_of(path))
        wrong = [name for name in found if is_part_of(name, banned)]
        assert not wrong, f"{relative(path)} imports {wrong}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_imports_the_tests(folder: str) -> None:
    for path in sources(folder):
        found = imports(ast.parse(path.read_text()), package_of(path))
        assert not [name for name in found if is_part_of(name, TESTS)], relative(path)


@pytest.mark.parametrize("folder", FOLDERS)
def test_only_a_list_of_subjects_names_an_implementation(folder: str) -> None:
    for path in sources(folder):
        texts = [
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        named = [text for text in texts if re.fullmatch(r"impls\.meanflow_\w+(\.\w+)*", text)]
        assert not named or relative(path) in NAMES_SUBJECTS, relative(path)


@pytest.mark.parametrize("folder", FOLDERS)
def test_only_the_draws_make_random_numbers(folder: str) -> None:
    for path in sources(folder):
        if relative(path) not in MAKES_RANDOM_NUMBERS:
            found = list(random_uses(ast.parse(path.read_text())))
            assert not found, f"{relative(path)} uses {found}"


@pytest.mark.parametrize("path", MAKES_RANDOM_NUMBERS)
def test_every_file_that_may_make_random_numbers_does(path: str) -> None:
    assert list(random_uses(ast.parse((ROOT / path).read_text())))


# The scanners


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\nnp.random.default_rng(0)",
        "from numpy.random import default_rng",
        "from numpy import random as chance",
        "import jax\ndef f(k):\n    return jax.random.normal(k)",
        "from jax import random",
        "import jax.random as jr",
        "import torch\ntorch.randn(3)",
        "import torch\ntorch.manual_seed(0)",
        "import torch\ntorch.rand_like(x)",
        "from torch import randint",
        "def f():\n    import random",
        "x.normal_(0, 1)",
        "from scipy import stats\nstats.norm.rvs(3)",
    ],
)
def test_random_numbers_are_found_however_they_are_made(source: str) -> None:
    assert list(random_uses(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "from impls.common import draws\ndraws.normal((3,), 0, draws.Stream.NOISE)",
        "from impls.common.draws import uniform",
        "import flax.linen as nn\nnn.initializers.normal(0.02)",
        "import torch\ntorch.round(x)",
        "config.random.seed",
    ],
)
def test_what_makes_no_random_numbers_is_not_found(source: str) -> None:
    assert not list(random_uses(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "import torch.nn",
        "from torch import nn",
        "def f():\n    import torch",
        "import importlib\nimportlib.import_module('torch.nn')",
        "try:\n    import torch as t\nexcept ImportError:\n    t = None",
    ],
)
def test_an_import_is_found_wherever_it_stands(source: str) -> None:
    assert [name for name in imports(ast.parse(source), "impls") if is_part_of(name, ("torch",))]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from . import meanflow_jax", "impls.meanflow_jax"),
        ("from ..meanflow_jax import DiT", "impls.meanflow_jax"),
        ("from impls import meanflow_jax", "impls.meanflow_jax"),
    ],
)
def test_relative_imports_are_resolved(source: str, expected: str) -> None:
    package = "impls.common" if ".." in source else "impls"
    assert expected in list(imports(ast.parse(source), package))


# What importing brings along


def modules_of(*folders: str) -> list[str]:
    """Module names of all files that may be imported, the packages themselves included."""
    paths = [path for folder in folders for path in sources(folder)]
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in paths
        if path.name not in RUNS_WHEN_IMPORTED
        and relative(path) not in (*GOLDEN_WRITER, *STANDIN_WRITERS)
    ]


def loaded_after(names: list[str]) -> set[str]:
    """Top-level modules in a new process that has imported these."""
    lines = [*(f"import {name}" for name in names), "import sys", "print(*sys.modules)"]
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    ("framework", "others"), [("jax", {"torch"}), ("torch", {"jax", "jaxlib", "flax", "optax"})]
)
def test_an_implementation_loads_its_own_framework_alone(framework: str, others: set[str]) -> None:
    if not find_spec(framework):
        pytest.skip(f"{framework} is not installed")
    loaded = loaded_after(modules_of(f"impls/meanflow_{framework}"))
    assert framework in loaded
    assert not loaded & others


@pytest.mark.parametrize(
    "folders",
    [("impls/common", "impls/protocol.py", "meanflow_repro"), ("reference",), ("results",)],
)
def test_what_is_shared_loads_no_framework(folders: tuple[str, ...]) -> None:
    assert not loaded_after(modules_of(*folders)) & {*JAX, *TORCH}


def test_what_judges_loads_no_framework() -> None:
    assert not loaded_after(modules_of("verify")) & {*JAX, *TORCH}
