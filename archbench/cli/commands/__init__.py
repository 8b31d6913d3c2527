"""The commands: one file is one command, the object ``command`` in it.

A command file imports click and its neighbours in ``archbench.cli`` only; what does the work is
imported inside the function, so that ``archbench --help`` stays quick.
"""
