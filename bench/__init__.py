"""Benchmarks of the trainer's own step: JVP overhead, throughput, sampling; interleaved timing."""
