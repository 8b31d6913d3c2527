"""Results of the public interface, compared with recorded copies to the byte.

``python -m tests.golden.renew`` writes the copies again, after a change that is meant to alter
them.
"""
