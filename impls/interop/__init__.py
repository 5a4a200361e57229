"""Checkpoints of other frameworks, of the authors' code and of ports."""
