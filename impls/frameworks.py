"""Import of an implementation by the name of its framework."""

import importlib
from typing import Any

from impls.common.errors import UserError


def implementation(framework: str) -> Any:
    """Implementation in a framework, as a module.

    Raises:
        UserError: when the framework is not installed.
    """
    return _module(framework)


def tpu_compiler() -> Any:
    """Module that compiles training steps for TPUs, impls/meanflow_jax/ahead.py.

    Raises:
        UserError: when JAX is not installed.
    """
    return _module("jax", ".ahead")


def _module(framework: str, part: str = "") -> Any:
    try:
        return importlib.import_module(f"impls.meanflow_{framework}{part}")
    except ModuleNotFoundError as error:
        raise UserError(
            f"the package {error.name} is not installed, which --framework {framework} and its"
            f' checkpoints need: pip install -c constraints.txt -e ".[{framework}]"'
        ) from error
