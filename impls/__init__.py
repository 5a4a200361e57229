"""The full MeanFlow trainer, twice: meanflow_jax and meanflow_torch, over impls.common."""
