"""What is believed of accuracies, held against truths that are made up."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from archbench.analysis.accuracy_model import STRAIGHT, WARPINGS, AccuracyModel, Warping
from archbench.analysis.choice_features import Products

SEED_SD = 0.03
SIGNS = np.array(list(itertools.product((-1.0, 1.0), repeat=6)))  # 64 designs of six choices


CHOICES = [{f"axis{place}": sign for place, sign in enumerate(signs)} for signs in SIGNS.tolist()]


def believed(shown: np.ndarray, choices: Sequence[Mapping[str, float]] = CHOICES) -> AccuracyModel:
    """From one training each."""
    results = {number: [float(value)] for number, value in enumerate(shown)}
    return AccuracyModel(results, choices=choices)


def means(model: AccuracyModel) -> np.ndarray:
    return np.array([mean for mean, _ in model.moments().values()])


def test_what_two_choices_do_together_is_told_from_noise() -> None:
    rng = np.random.default_rng(0)
    truth = 0.5 + 0.04 * SIGNS[:, 0] + 0.1 * SIGNS[:, 1] * SIGNS[:, 2]
    shown = truth + SEED_SD * rng.standard_normal(64)
    off = means(believed(shown)) - truth
    assert off.std() < 0.8 * (shown - truth).std()


@pytest.mark.parametrize(("ceiling", "bends"), [(0.15, True), (1.5, False)])
def test_scale_on_which_choices_add_up_is_found(ceiling: float, bends: bool) -> None:
    rng = np.random.default_rng(0)
    quality = 0.15 * (SIGNS @ rng.uniform(0.2, 0.6, 6)) + 0.01 * rng.standard_normal(64)
    model = believed(0.6 + ceiling * np.tanh(quality / ceiling))
    strength = model._weights @ np.array([node.scale.warping.strength for node in model._grid])
    assert strength > 0.6 if bends else strength < 0.25


def test_draws_have_the_moments() -> None:
    rng = np.random.default_rng(1)
    model = believed(0.5 + 0.1 * SIGNS[:, 0] + SEED_SD * rng.standard_normal(64))
    drawn = model.draw(4000, of=range(64), rng=rng)
    mean, sd = (np.array(column) for column in zip(*model.moments().values(), strict=True))
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=0.005)
    assert drawn.std(axis=0) == pytest.approx(sd, rel=0.15)


@pytest.mark.parametrize("shown", [[0.5], [0.5, 0.5, 0.5]])
def test_accuracies_that_are_all_equal_are_believed(shown: list[float]) -> None:
    model = believed(np.array(shown), [{}] * len(shown))
    assert means(model) == pytest.approx(0.5, abs=1e-3)


def test_products_are_those_of_the_features() -> None:
    some = np.random.default_rng(3).standard_normal((40, 5))
    columns = Products(some).rows(some)
    every = np.einsum("np,nq->npq", some, some).reshape(40, 25)
    assert columns.shape == (40, 15)
    assert columns @ columns.T == pytest.approx(every @ every.T)


def test_most_of_many_products_is_kept() -> None:
    some = np.random.default_rng(4).choice((-1.0, 1.0), size=(300, 30)) / 30**0.5
    columns = Products(some).rows(some)
    assert columns.shape == (300, 64)
    assert (columns**2).sum() > 0.4 * 300


@pytest.mark.parametrize("warping", [STRAIGHT, *WARPINGS])
def test_warping_is_undone_and_knows_its_slope(warping: Warping) -> None:
    values = np.linspace(-3, 3, 13)
    step = 1e-6
    rise = (warping.warped(values + step) - warping.warped(values - step)) / (2 * step)
    assert warping.unwarped(warping.warped(values)) == pytest.approx(values)
    assert warping.slope(values) == pytest.approx(rise)
    assert warping.slope(np.zeros(1)) == pytest.approx(1.0)


def test_moments_of_a_warping_are_those_of_draws() -> None:
    warping = Warping(0.6, 1.0)
    drawn = warping.unwarped(1.5 + 0.7 * np.random.default_rng(5).standard_normal(100_000))
    mean, variance = warping.moments(np.array([1.5]), np.array([0.49]))
    assert mean[0] == pytest.approx(drawn.mean(), abs=0.005)
    assert variance[0] == pytest.approx(drawn.var(), rel=0.03)


def test_what_shares_the_trainings_of_a_candidate_shares_their_luck() -> None:
    """Quantised networks lose a point; which candidate is better is as uncertain as before."""
    rng = np.random.default_rng(0)
    results = {number: [0.5 + 0.05 * float(rng.standard_normal())] for number in range(8)}
    losses = {8 + number: (number, -0.01 - 0.001 * (number % 2)) for number in range(8)}
    choices = [{"dim": number % 4} for number in results]
    model = AccuracyModel(results, choices=choices, changes=losses)
    alone = AccuracyModel(results, choices=choices)
    assert {n: model.moments()[n] for n in results} == alone.moments()
    drawn = model.draw(4000, of=[0, 8, 1, 9], rng=np.random.default_rng(1))
    loss, other = drawn[:, 1] - drawn[:, 0], drawn[:, 2] - drawn[:, 0]
    assert loss.mean() == pytest.approx(-0.01, abs=0.002)
    assert loss.std() < 0.007 < other.std()
    assert model.moments()[9][0] == pytest.approx(model.moments()[1][0] - 0.011)
