"""Benchmarks of the trainer's own step, and the price of a run before it is begun."""
