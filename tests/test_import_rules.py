"""What the import contracts of pyproject.toml and ruff cannot see by themselves.

Names that are imported by a function, what a process has loaded, who names an implementation, who
may make random numbers; and that the contracts and the list of banned names find what they ban.
"""

import json
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec

import pytest
from subprocesses import ROOT, run_python

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
ROOMS = ("impls", "reference", "verify", "bench", "results", "meanflow_repro")
JAX = ("jax", "jaxlib", "flax", "optax", "orbax", "chex")
TORCH = ("torch", "torchvision", "diffusers", "cleanfid")

# They run in the environment of the official code; the one draws new golden inputs there, the other
# watches what the official code draws.
GOLDEN_WRITER = ("verify/official/golden_writer.py", "verify/official/run.py")
# Imports nothing of the project: it seeds whatever a port draws from, and makes the port's images.
CHILD = "verify/ports/child.py"
MAKES_RANDOM_NUMBERS = {
    *GOLDEN_WRITER,
    CHILD,
    "impls/common/draws.py",
    "impls/meanflow_jax/draws.py",
    "impls/meanflow_torch/draws.py",
    "bench/official_step.py",  # the authors' step draws for itself, from a key
}
# The default subjects of the command line, those whose copies mutants are planted in, and those
# whose records tables show under a shorter name.
NAMES_SUBJECTS = {
    "meanflow_repro/verify.py",
    "verify/mutants/plant.py",
    "results/tabulate/cells.py",
}
# The last writes the stand-in of a TorchScript file, which takes PyTorch; nothing imports it.
NOT_IMPORTED = (*GOLDEN_WRITER, "verify/fixtures/inception_module.py")

# folder, what no literal name in it may import
RULES = {
    **dict.fromkeys(ROOMS, (*ROOMS, "tests", "conftest")),
    "impls/common": (*JAX, *TORCH),
    "impls/protocol.py": (*JAX, *TORCH),
    "reference": (*ROOMS, *JAX, *TORCH),
    "results": (*ROOMS, *JAX, *TORCH),
    "impls/meanflow_jax": TORCH,
    "impls/meanflow_torch": JAX,
}
BY_NAME = re.compile(r"(?:import_module|__import__)\(\s*[\"'](\w+)")  # the package alone
SUBJECT = re.compile(r"[\"']impls\.meanflow_\w+(?:\.\w+)*[\"']")
# Modules and methods that ruff's list of banned names has not: it would hold for the tests too, or
# does not know of what class an object is.
UNSEEN = re.compile(
    r"^\s*(?:import|from) (?:random|secrets)\b|\burandom\b|\bsafetensors\.torch\b"
    r"|\.(?:(?:normal|uniform|bernoulli|random|exponential)_|rvs)\b",
    re.MULTILINE,
)


def sources(*names):
    """The text of each file of these folders and files."""
    paths = [path for name in names for path in sorted({ROOT / name, *(ROOT / name).rglob("*.py")})]
    found = {
        path.relative_to(ROOT).as_posix(): path.read_text() for path in paths if path.is_file()
    }
    assert found
    return found


def uses(pattern, *names):
    """What matches in each file of these folders and files, where anything does."""
    found = {path: set(pattern.findall(text)) for path, text in sources(*names).items()}
    return {path: matches for path, matches in found.items() if matches}


def random_uses(*arguments, text=None):
    """File and line of each random number that ruff's list of banned names finds."""
    rule = ("--select=TID251", "--config=lint.per-file-ignores={}", "--output-format=concise")
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", *rule, *arguments]
    done = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True)  # noqa: PLW1510
    assert done.returncode in (0, 1), done.stderr
    return re.findall(r"^(.*):\d+: TID251", done.stdout, re.MULTILINE)


# The rules on the source


@pytest.mark.parametrize("folder", RULES)
def test_a_folder_imports_by_name_nothing_that_it_may_not(folder):
    assert {
        path: names for path, names in uses(BY_NAME, folder).items() if names & {*RULES[folder]}
    } == {}


def test_only_a_list_of_subjects_names_an_implementation():
    assert set(uses(SUBJECT, *ROOMS)) == NAMES_SUBJECTS


def test_the_draws_alone_make_random_numbers():
    pytest.importorskip("ruff")
    assert {use.split(":")[0] for use in random_uses(*ROOMS)} == MAKES_RANDOM_NUMBERS


def test_nothing_makes_random_numbers_that_ruff_does_not_see():
    assert set(uses(UNSEEN, *ROOMS)) == {CHILD}


# What finds them


def test_an_import_by_name_is_found_wherever_it_stands():
    source = "def f():\n    importlib.import_module(\n    'torch.nn')\n__import__(\"jax\")"
    assert BY_NAME.findall(source) == ["torch", "jax"]


MADE = """\
np.random.default_rng(0)
jax.random.normal(key)
torch.randn(3)
torch.manual_seed(0)
torch.rand_like(x)
torch.bernoulli(x)
from numpy.random import default_rng
from numpy import random as chance
from jax import random
import jax.random as jr
from torch import randint
"""


def test_random_numbers_are_found_however_they_are_made():
    pytest.importorskip("ruff")
    names = "import jax, torch\nimport numpy as np\nfrom impls.common import draws\n"
    assert len(random_uses("-", text=names + MADE)) == len(MADE.splitlines())
    assert not random_uses("-", text=f"{names}draws.normal((3,), 0, 1)\ntorch.round(x)\n")
    for source in ("def f():\n    import random", "x.normal_(0, 1)", "stats.norm.rvs(3)"):
        assert UNSEEN.search(source)
    assert not UNSEEN.search("nn.initializers.normal(0.02)\nconfig.random.seed")


@pytest.mark.parametrize(
    ("importing", "imported", "status"),
    [("bench", "results", 0), ("results", "bench", 1), ("reference", "impls", 1)],
)
def test_an_upward_import_breaks_the_contract_of_the_floors(importing, imported, status, tmp_path):
    pytest.importorskip("importlinter")
    layers = PROJECT["importlinter"]["contracts"][0]["layers"]
    for room in ROOMS:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text(f"import {imported}" * (room == importing))
    contract = (
        f'[[tool.importlinter.contracts]]\nname = "floors"\ntype = "layers"\nlayers = {layers}'
    )
    file = tmp_path / "pyproject.toml"
    file.write_text(f"[tool.importlinter]\nroot_packages = {list(ROOMS)}\n{contract}")
    linter = "from importlinter.cli import lint_imports_command as run; run()"
    command = [sys.executable, "-c", linter, "--no-cache"]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == status


# What importing brings along


def loaded_after(*folders):
    """Top-level modules in a new process that has imported every file that may be imported."""
    names = [
        path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in sources(*folders)
        if path not in NOT_IMPORTED and not path.endswith("__main__.py")
    ]
    lines = [*(f"import {name}" for name in names), "import sys", "print(*sys.modules)"]
    done = run_python("-c", "\n".join(lines), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(("framework", "others"), [("jax", TORCH[:1]), ("torch", JAX[:4])])
def test_an_implementation_loads_its_own_framework_alone(framework, others):
    if not find_spec(framework):
        pytest.skip(f"{framework} is not installed")
    loaded = loaded_after(f"impls/meanflow_{framework}")
    assert framework in loaded
    assert not loaded & {*others}


@pytest.mark.parametrize(
    "folders",
    [
        ("impls/common", "impls/protocol.py", "meanflow_repro"),
        ("reference",),
        ("results",),
        ("verify",),
    ],
)
def test_what_is_shared_and_what_judges_load_no_framework(folders):
    assert not loaded_after(*folders) & {*JAX, *TORCH}


def test_what_the_notebook_imports_is_there():
    pytest.importorskip("jax")
    pytest.importorskip("torch")
    cells = json.loads((ROOT / "examples" / "digits.ipynb").read_text())["cells"]
    code = "".join(line for cell in cells for line in [*cell["source"], "\n"])
    ours = re.findall(r"^from (?:impls|results|verify|bench)\b.*$", code, re.MULTILINE)
    done = run_python("-c", "\n".join(ours), cwd=ROOT)
    assert (bool(ours), done.returncode) == (True, 0), done.stderr
