"""Checks that any subject is put through: see `verify.runner.run` and `meanflow verify --list`."""
