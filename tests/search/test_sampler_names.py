"""Samplers of others by name, and what is said when one cannot serve."""

import sys
from types import ModuleType, SimpleNamespace

import optuna
import pytest

from archbench.errors import MissingError, UsageError
from archbench.search.sampler import load_sampler


def test_a_class_of_optuna_is_taken_by_its_name() -> None:
    assert type(_made("optuna:NSGAIISampler")) is optuna.samplers.NSGAIISampler


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


def _hub(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A registry with one package, ``samplers/theirs``, whose file holds the text."""
    name = "optunahub_registry.package.samplers.theirs"
    package = ModuleType(name)
    exec(text, package.__dict__)
    hub = ModuleType("optunahub")
    hub.__dict__["load_module"] = {"samplers/theirs": package}.__getitem__
    monkeypatch.setitem(sys.modules, "optunahub", hub)


def _made(name: str) -> optuna.samplers.BaseSampler:
    return load_sampler(name).make(SimpleNamespace(seed=0))  # type: ignore[arg-type]


THEIRS = """
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler

class Theirs(RandomSampler):
    pass
"""


@pytest.mark.parametrize("names", ["", "__all__ = ['Theirs']\n"], ids=["unnamed", "named"])
def test_a_package_of_optunahub_gives_its_own_sampler(
    monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    _hub(monkeypatch, THEIRS + names)
    assert type(_made("hub:samplers/theirs")).__name__ == "Theirs"
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_sampler("hub:samplers/missing")


def test_of_several_samplers_one_is_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    text = THEIRS + "class Another(NSGAIISampler):\n    pass\nAlias = NSGAIISampler\n"
    _hub(monkeypatch, text + "__all__ = ['Theirs', 'Alias']\n")
    with pytest.raises(UsageError, match="several samplers: Theirs, Alias") as caught:
        load_sampler("hub:samplers/theirs")
    assert "hub:samplers/theirs:Theirs" in str(caught.value.help)
    assert type(_made("hub:samplers/theirs:Alias")) is optuna.samplers.NSGAIISampler
    with pytest.raises(UsageError, match="unknown sampler of hub:samplers/theirs 'Anther'"):
        load_sampler("hub:samplers/theirs:Anther")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("assert len(study.directions) == 1", "cannot search for a front: AssertionError"),
        ("raise RuntimeError('one\\n  objective')", "cannot search for a front: one objective"),
    ],
)
def test_whatever_theirs_raises_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, line: str, told: str
) -> None:
    method = f"    def infer_relative_search_space(self, study, trial):\n        {line}\n"
    _hub(monkeypatch, THEIRS.replace("    pass\n", method))
    with pytest.raises(UsageError, match=told):
        load_sampler("hub:samplers/theirs")
