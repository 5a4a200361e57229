"""A port runs under its own interpreter, with older frameworks and older Python."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from impls.common.errors import UserError
from verify.ports.diagnose import diagnose
from verify.ports.process import CHILD, Port
from verify.ports.settings import OFFICIAL

PORTS = Path(__file__).parents[3] / "examples" / "ports"
OLD_JAX = ("jax==0.4.30", "jaxlib==0.4.30", "numpy<2")


def test_the_childs_file_is_python_3_8():
    ast.parse(CHILD.read_text(), feature_version=(3, 8))


def test_the_childs_file_imports_only_numpy_and_the_standard_library_at_first():
    tree = ast.parse(CHILD.read_text())
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports for alias in node.names}
    assert names - sys.stdlib_module_names == {"numpy"}


@pytest.fixture(scope="module")
def old_jax():
    """The interpreter of an environment with jax 0.4.30, made once and kept."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = (
        cache / "meanflow-repro" / f"jax-0.4.30-python{sys.version_info[0]}.{sys.version_info[1]}"
    )
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    installed = folder / "installed"
    if not installed.exists():
        pip = [str(python), "-m", "pip", "install", "--quiet", *OLD_JAX]
        try:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
            subprocess.run(pip, check=True, timeout=600, capture_output=True, text=True)
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
            pytest.skip(f"jax 0.4.30 cannot be had: {said}")
        installed.touch()
    return str(python)


@pytest.mark.slow
def test_the_minimal_port_is_right_under_jax_0_4_30(old_jax, monkeypatch):
    for name in (
        "JAX_DEFAULT_MATMUL_PRECISION",
        "XLA_FLAGS",
    ):  # of this JAX: the old one knows others
        monkeypatch.delenv(name, raising=False)
    with Port(PORTS / "minimal_jax.py", python=old_jax) as port:
        found = list(diagnose(port, OFFICIAL["imagenet"]))
        assert port.loaded.version == "0.4.30"
    assert len(found) > 9
    assert {line.what: line.verdict for line in found if line.verdict != "same"} == {}


def test_an_interpreter_that_is_none_is_told(tmp_path):
    with (
        Port(PORTS / "minimal_jax.py", python=str(tmp_path / "python")) as port,
        pytest.raises(UserError, match=r"--python .*cannot be run: No such file"),
    ):
        port.load()
