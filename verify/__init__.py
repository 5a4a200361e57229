"""The conformance suite: run by `verify.runner.run`, listed by `meanflow verify --list`.

A subject raises `NotApplicable` for a configuration that it does not implement.
"""

from verify.registry import NotApplicable
