"""The loop around a framework's steps, its log, and samples of a checkpoint."""
