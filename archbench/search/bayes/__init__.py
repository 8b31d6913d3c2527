"""The Bayesian sampler: candidates, surrogate, acquisition, and the sampler itself."""
