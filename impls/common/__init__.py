"""What both implementations share. NumPy only: nothing here imports JAX or torch."""
