"""Samplers of others by name, and what is said when one cannot serve."""

from __future__ import annotations

import sys
from types import ModuleType

import optuna
import pytest

from archbench.errors import MissingError, UsageError
from archbench.search.sampler import load_sampler


def test_a_class_of_optuna_is_taken_by_its_name() -> None:
    entry = load_sampler("optuna:NSGAIIISampler")
    assert entry.ATTEMPTS > 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("optuna:NSGAIISamplr", "unknown class of optuna.samplers 'NSGAIISamplr'; did you mean"),
        ("optuna:GridSampler", "cannot search for a front: .*search_space"),
        ("cost_awar", "unknown sampler 'cost_awar'; did you mean cost_aware"),
    ],
)
def test_what_cannot_serve_is_refused_at_its_place(name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        load_sampler(name, place="--sampler")
    assert caught.value.place == "--sampler"


def test_without_optunahub_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optunahub", None)
    with pytest.raises(MissingError, match="optunahub") as caught:
        load_sampler("hub:samplers/hebo")
    assert "archbench[hub]" in str(caught.value.help)


def test_a_package_of_optunahub_gives_its_own_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(optuna.samplers.RandomSampler):
        pass

    package = ModuleType("package")
    package.__dict__.update(
        RandomSampler=optuna.samplers.RandomSampler, Theirs=Theirs, __all__=["Theirs"]
    )
    hub = ModuleType("optunahub")
    hub.__dict__["load_module"] = {"samplers/theirs": package}.__getitem__
    monkeypatch.setitem(sys.modules, "optunahub", hub)
    assert load_sampler("hub:samplers/theirs")._kind is Theirs  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_sampler("hub:samplers/missing")
