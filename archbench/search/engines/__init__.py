"""Where trials run: one file an engine."""
