"""``archbench models``: the published networks, listed and written out."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from archbench.models import ArchSpec, ablation_names, published_names
from archbench.models.catalogue import families, published
from tests.cli.conftest import Run

ALL = (*published_names(), *ablation_names())


def test_the_list_says_where_the_accuracy_is_printed(run: Run) -> None:
    code, out, err = run("models", "levit_128*")
    assert code == 0
    assert out == (
        "network      px  parameters         MACs  top-1, printed in\n"
        "----------  ---  ----------  -----------  -----------------\n"
        "LeViT: a vision transformer in ConvNet's clothing (Graham et al. 2021)\n"
        "levit_128s  224   7,777,058  304,660,832  76.6, table 3\n"
        "levit_128   224   9,213,936  405,321,728  78.6, table 3\n"
    )
    assert err.endswith("next: archbench models show levit_128s, or archbench profile levit_128s\n")


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


def test_ablations_are_listed_by_a_pattern_with_a_slash(run: Run) -> None:
    _, out, _ = run("models", "cvt_13/t7*")
    assert out.splitlines()[2:] == [
        "CvT: convolutional vision transformers (Wu et al. 2021, arXiv:2103.15808)",
        "cvt_13/t7_stride_1  224  19,997,480  6,643,074,560  82.3, table 7",
        "",
        "ablation            base  what is changed",
        "------------------  ----  ---------------------------",
        "cvt_13/t7_stride_1  81.6  keys and values at stride 1",
    ]


def test_an_ablation_as_json_says_what_it_sets(run: Run) -> None:
    (model,) = json.loads(run("models", "levit_128s/a4", "--json").out)["models"]
    assert model["ablation"] == {
        "base": "levit_128s/base",
        "set": {},
        "training": {"teacher": "none"},
    }
    assert model["family"] == "levit"
    assert (model["paper"]["top1"], model["paper"]["base_top1"]) == (69.7, 71.9)
    assert model["released"] == {"params": 7_391_290, "macs": 304_276_832}


def test_the_check_says_what_was_counted_how_and_why_papers_differ(run: Run) -> None:
    code, out, _ = run("models", "check", "levit_128s/a[15]")
    assert code == 0
    assert out == (
        "network        parameters  printed  off by  built  released\n"
        "-------------  ----------  -------  ------  -----  --------\n"
        "levit_128s/a1   1,214,614    1.2 M  +1.2 %  same   same\n"
        "levit_128s/a5   7,411,064    7.4 M  +0.1 %  same   unknown\n"
        "\n"
        "network               MACs  printed  off by  fvcore  released\n"
        "-------------  -----------  -------  ------  ------  --------\n"
        "levit_128s/a1  307,039,416    308 M  -0.3 %  same    same\n"
        "levit_128s/a5  304,276,832    305 M  -0.2 %  same    unknown\n"
        "\n"
        "Printed is another number than the exact one, rounded:\n"
        "levit_128s/a1: MACs (the paper counts the softmax, too: 308.3 M)\n"
        "levit_128s/a5: MACs (the paper counts the softmax, too: 304.7 M)\n"
        "\n"
        "All 2 were built, on a device without memory, and their parameters counted.\n"
        "fvcore counted a forward pass of 2 of 2.\n"
        "Not known is what released code counts of levit_128s/a5.\n"
    )


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


def test_what_is_left_out_of_the_check_is_named(run: Run) -> None:
    code, out, _ = run("models", "check", "cvt_w24_384")
    assert code == 0
    assert "cvt_w24_384  194,221,654,016  193.2 G  +0.5 %  not run  same\n" in out
    assert "Not run, being above 10.0 G MACs (--full does): cvt_w24_384.\n" in out
    document = json.loads(run("models", "check", "cvt_w24_384", "--json").out)
    assert document["schema"] == "archbench.models_check/1"
    assert document["models"][0]["fvcore"] is None


@pytest.mark.parametrize("name", published_names())
def test_what_is_shown_reads_back_as_the_network(name: str, run: Run) -> None:
    code, out, _ = run("models", "show", name)
    assert code == 0
    assert ArchSpec.from_document(yaml.safe_load(out)) == published(name)


def test_models_as_json_carry_exact_counts_and_the_paper(
    run: Run,
) -> None:
    code, out, err = run("models", "show", "cvt_13", "--json")
    document: dict[str, Any] = json.loads(out)
    assert (code, err) == (0, "")
    assert document["schema"] == "archbench.models/1"
    (model,) = document["models"]
    assert (model["params"], model["macs"]) == (19_997_480, 4_566_089_216)
    assert model["paper"]["params"] == "19.98 M"
    assert ArchSpec.from_document(model["spec"]) == published("cvt_13")


@pytest.mark.parametrize("arguments", [("models", "show", "levit_128x"), ("models", "levit_12z*")])
def test_an_unknown_network_names_its_neighbours(arguments: tuple[str, ...], run: Run) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "did you mean levit_1" in err
