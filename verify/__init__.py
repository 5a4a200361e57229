"""Checks that any subject is put through: see `verify.runner.run` and `meanflow verify --list`.

A subject raises `NotApplicable` for a configuration that it does not implement.
"""

from verify.registry import NotApplicable
