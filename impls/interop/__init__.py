"""Conversion of checkpoints: between frameworks, of the authors' code, of PyTorch ports."""
