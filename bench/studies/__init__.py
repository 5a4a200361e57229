"""Studies of several runs, which are trained, scored and recorded."""
