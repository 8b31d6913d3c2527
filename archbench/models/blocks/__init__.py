"""Blocks: what repeats in a stage; one file is one kind."""
