"""The report: one page with every table, figure, check and record."""
