"""Checks, in one file or one folder for each family, named after it."""

import importlib
import pkgutil

from verify.registry import CHECKS, FAMILIES, Check


def sentences() -> tuple[tuple[str, str, str], ...]:
    """Family, name and sentence of every check."""
    return tuple((check.family, check.name, check.sentence) for check in all_checks().values())


def all_checks() -> dict[str, Check]:
    """Checks by name, in the order of families and of their files."""
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        importlib.import_module(module.name)
    # Modules may have been imported in any order; sorted keeps that of the checks in each of them.
    order = lambda item: (FAMILIES.index(item[1].family), item[1].function.__module__)  # noqa: E731
    return dict(sorted(CHECKS.items(), key=order))
