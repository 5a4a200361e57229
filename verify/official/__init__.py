"""The authors' code: a checkout, run live or for golden files."""
