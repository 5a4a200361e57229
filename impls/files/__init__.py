"""File formats: checkpoints, weights, shards, images; atomic writes, locks, failed downloads."""
