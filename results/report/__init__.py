"""Report: one HTML page with every table, figure, check and record."""
