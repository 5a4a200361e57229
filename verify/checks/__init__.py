"""The checks: a file, or a folder of several, for each family, which has its name."""
