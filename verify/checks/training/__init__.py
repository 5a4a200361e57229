"""Training step, learning rate, clipping, EMAs, and logged metrics."""
