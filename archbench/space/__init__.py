"""YAML in, SearchSpace out: what is searched and under which conditions."""
