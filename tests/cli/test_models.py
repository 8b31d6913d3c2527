"""``archbench models``: the published networks, listed and written out."""

import pytest
import yaml

from archbench.models import ArchSpec
from archbench.models.catalogue import published
from tests.cli.conftest import Run


@pytest.mark.parametrize("name", ["ceit_tiny", "cvt_13", "levit_128s", "shvit_s1"])
def test_what_is_shown_reads_back_as_the_network(name: str, run: Run) -> None:
    code, out, _ = run("models", "show", name)
    assert code == 0
    assert ArchSpec.from_document(yaml.safe_load(out)) == published(name)


@pytest.mark.parametrize(
    ("words", "shown", "fault"),
    [
        (
            ("models", "check", "levit_128s/a1"),
            "levit_128s/a1  307,039,427    308 M  -0.3 %  DIFFERS  DIFFERS\n",
            "levit_128s/a1: fvcore computes 307,039,416 MACs, not 307,039,427",
        ),
        (
            ("profile", "levit_128s", "--no-latency", "--check"),
            "fvcore       counts 7,777,058 parameters, 304,660,832 MACs",
            "the closed form and fvcore count differently: levit_128s",
        ),
    ],
    ids=["models", "profile"],
)
def test_a_count_that_is_not_as_expected_is_shown_and_ends_with_1(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], shown: str, fault: str
) -> None:
    from archbench.models.blocks.levit import Spec

    count = Spec.count
    monkeypatch.setattr(
        Spec, "count", lambda self, site: (work := count(self, site))._replace(mlp=work.mlp + 1)
    )
    code, out, err = run(*words)
    assert code == 1
    assert shown in out
    assert fault in err
    assert run(*words, "--json").code == 1
