"""Which trials are stopped before they are trained to the end: one file a rule."""
