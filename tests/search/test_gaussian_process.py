"""The process that learns accuracy: its likelihood, and what it learns from few candidates."""

import numpy as np
from scipy.optimize import approx_fprime

from archbench.search.bayes import gaussian_process
from archbench.search.bayes.gaussian_process import Features, Hyperparameters, Posterior


def _features(rng: np.random.Generator, count: int) -> Features:
    """Six axes of two levels, and a cost that is no matter of theirs."""
    levels = rng.integers(2, size=(count, 6)) - 0.5
    cost = rng.normal(size=(count, 1))
    distance = np.column_stack([levels, cost / 4.0])
    linear = np.column_stack([levels, -levels]) / np.sqrt(6)
    return Features(distance, np.arange(7), linear, cost)


def test_the_gradient_is_that_of_the_likelihood() -> None:
    rng = np.random.default_rng(0)
    parts = gaussian_process._parts(_features(rng, 12))
    values, weights = rng.normal(size=12), rng.uniform(0.5, 2.0, size=12)
    middle = gaussian_process.prior(7)[0].vector

    def likelihood(vector: np.ndarray) -> tuple[float, np.ndarray]:
        return gaussian_process._negative_log_likelihood(
            vector, parts, values=values, weights=weights
        )

    _, gradient = likelihood(middle)
    by_steps = approx_fprime(middle, lambda vector: likelihood(vector)[0], 1e-6)
    np.testing.assert_allclose(gradient, by_steps, atol=1e-4)


def test_the_variance_of_a_candidate_is_its_covariance_with_itself() -> None:
    features = _features(np.random.default_rng(1), 10)
    hyper = Hyperparameters(np.ones(7), 0.5, 0.4, 0.3, 0.02, 0.2)
    covariance = gaussian_process._covariance(features, features, hyper)
    own = gaussian_process._own_variance(features, hyper)
    np.testing.assert_allclose(own, np.diag(covariance))


def test_what_an_axis_is_worth_at_which_cost_is_learnt_from_few() -> None:
    rng = np.random.default_rng(2)
    features = _features(rng, 200)
    worth = features.distance[:, 0] - 0.5 * features.distance[:, 1]
    truth = features.cost[:, 0] + worth * features.cost[:, 0]
    truth = truth / truth[:40].std()
    seen, unseen = slice(0, 40), slice(40, None)
    values, weights = truth[seen] - truth[seen].mean(), np.ones(40)
    hyper = gaussian_process.fit(features[seen], values, weights=weights)
    posterior = Posterior(features[seen], values, weights=weights, hyperparameters=hyper)
    error = posterior.mean(features[unseen]) + truth[seen].mean() - truth[unseen]
    assert np.sqrt(np.mean(error**2)) < 0.005  # .013 and more without the products
