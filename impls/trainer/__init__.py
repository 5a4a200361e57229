"""Training loop, log of a run, and samples and scores of a checkpoint."""
