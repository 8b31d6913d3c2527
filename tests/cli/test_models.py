"""``archbench models``: the published networks, listed and written out."""

from __future__ import annotations

import pytest
import yaml

from archbench.models import ArchSpec, ablation_names, published_names
from archbench.models.catalogue import families, published
from tests.cli.conftest import Run

ALL = (*published_names(), *ablation_names())


@pytest.mark.parametrize("options", [(), ("--all",)])
def test_every_published_network_is_listed_under_its_family(
    options: tuple[str, ...], run: Run
) -> None:
    _, out, _ = run("models", *options)
    catalogue = out.partition("\n\n")[0]
    listed = [line.split()[0] for line in catalogue.splitlines()[2:] if line.split()[0] in ALL]
    assert sorted(listed) == sorted(ALL if options else published_names())
    assert max(map(len, out.splitlines())) <= 80
    titles = [line for line in catalogue.splitlines()[2:] if line.split()[0] not in ALL]
    assert len(titles) == len(tuple(families()))


def test_a_count_that_is_not_as_expected_ends_with_1(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archbench.models.blocks.levit import Spec

    count = Spec.count
    monkeypatch.setattr(
        Spec, "count", lambda self, site: (work := count(self, site))._replace(mlp=work.mlp + 1)
    )
    code, out, err = run("models", "check", "levit_128s/a1")
    assert code == 1
    assert "levit_128s/a1  307,039,427    308 M  -0.3 %  DIFFERS  DIFFERS\n" in out
    assert "levit_128s/a1: fvcore computes 307,039,416 MACs, not 307,039,427" in err
    assert run("models", "check", "levit_128s/a1", "--json").code == 1


@pytest.mark.parametrize("name", published_names())
def test_what_is_shown_reads_back_as_the_network(name: str, run: Run) -> None:
    code, out, _ = run("models", "show", name)
    assert code == 0
    assert ArchSpec.from_document(yaml.safe_load(out)) == published(name)
