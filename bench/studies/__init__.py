"""Studies: many runs, trained, scored and recorded."""
