"""Weights in and out: files, layouts of names, translation between them."""
