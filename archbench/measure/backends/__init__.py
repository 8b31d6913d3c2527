"""What can run a network so that it can be timed: one file is one backend.

Each holds ``prepare(network, example, *, conditions)``, which gives one forward pass as a
function without arguments.
"""
