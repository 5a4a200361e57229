"""Files as they lie on a disk: checkpoints, weights, shards, downloads."""
