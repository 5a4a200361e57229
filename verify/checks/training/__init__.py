"""The train step, what surrounds it, and what a run logs."""
