"""FID of a checkpoint in both frameworks, compared with the published value."""
