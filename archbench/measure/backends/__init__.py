"""What can run a network so that it can be timed: one file is one backend.

What each holds is written in ``archbench.measure.backend``.
"""
