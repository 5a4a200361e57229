"""FID of a checkpoint by both frameworks, beside what is published for it."""
