"""What both texts share. NumPy only: nothing here imports JAX or torch."""
