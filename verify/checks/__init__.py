"""The checks, by subject matter: every module here is read, and names the family of each."""
