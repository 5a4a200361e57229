"""Training steps on GPUs, measured."""
