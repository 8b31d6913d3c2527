"""Layouts of weights: whose names; one file is one layout."""
