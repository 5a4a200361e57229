"""What the JVP costs, and throughput. Nothing is measured here yet."""
