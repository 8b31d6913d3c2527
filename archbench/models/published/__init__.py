"""Published families; one file is one paper."""
