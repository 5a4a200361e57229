"""Import of an implementation by the name of its framework."""

import importlib
from typing import Any

from impls.common.errors import UserError


def implementation(framework: str) -> Any:
    """Implementation in a framework, as a module.

    Raises:
        UserError: when the framework is not installed.
    """
    try:
        return importlib.import_module(f"impls.meanflow_{framework}")
    except ModuleNotFoundError as error:
        raise UserError(
            f"the package {error.name} is not installed, which --framework {framework} and its"
            f' checkpoints need: pip install -c constraints.txt -e ".[{framework}]"'
        ) from error
