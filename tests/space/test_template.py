"""A space to begin with: it is one, and it holds every key."""

import pytest

from archbench.errors import UsageError
from archbench.models import published_names
from archbench.space import SearchSpace
from archbench.space.reading import KEYS
from archbench.space.sections import ProxySection, SearchSection, TargetSection, keys_of
from archbench.space.template import template
from archbench.yaml_document import load_yaml


@pytest.mark.parametrize("name", ["levit_128s", "cvt_13", "mobilenetv3_small_050", "resnet_50"])
def test_a_new_space_can_be_searched_as_it_is(name: str) -> None:
    space = SearchSpace(template(name), source="new.yaml")
    assert space.feasible(samples=50).feasible
    defaults = SearchSpace(f"base: {name}", source="plain.yaml")
    assert (space.target, space.search) == (defaults.target, defaults.search)


@pytest.mark.slow
@pytest.mark.parametrize("name", published_names())
def test_a_new_space_is_one_around_every_published_network(name: str) -> None:
    assert SearchSpace(template(name), source="new.yaml").feasible(samples=50).feasible


def test_a_new_space_holds_every_key_but_what_a_search_writes() -> None:
    written = load_yaml(template("levit_128s"), source="new.yaml").plain()
    assert {*written, "overrides"} == set(KEYS)
    for section, kind in {
        "target": TargetSection,
        "proxy": ProxySection,
        "search": SearchSection,
    }.items():
        assert list(written[section]) == [key for key, *_ in keys_of(kind)]


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"unknown network 'mobilenet_v3'; did you mean mobilenetv"
    ):
        template("mobilenet_v3")
