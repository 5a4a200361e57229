"""What the JVP costs, and throughput: ratios of the trainer's own step, timed in turns."""
