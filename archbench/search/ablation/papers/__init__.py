"""Papers whose own ablations can be run at proxy scale: one file each, with ``PAPER``."""
