"""Every number as a record with its provenance."""
