"""A certificate ends, goes on after a stop without repeating anything, and holds for its study."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archbench.analysis.certificate import Certificate, read_certificate
from archbench.analysis.study import open_study
from archbench.errors import MissingError, ParkedError, SpaceError, StorageError, UsageError
from archbench.models import count
from archbench.search import events, search
from archbench.search.certificate import certify, certify_first
from archbench.search.certificate_design import (
    CertificateDesign,
    fitted,
    in_words,
    most_candidates,
    sample,
)
from archbench.search.preparation import unplanned
from archbench.search.settings import settings_of
from archbench.space import SearchSpace
from archbench.study.planned import find_planned, read_planned
from archbench.study.trial import Snapshot
from tests.search import tiny
from tests.search.jobs import idle_context

DESIGN = CertificateDesign(
    candidates=32, seeds=3, epochs=8, longer=16, epoch_seconds=1.0, workers=2
)


def _space(data: str, **options: Any) -> SearchSpace:
    return SearchSpace(tiny.space_text(data, **options), source="toy.yaml")  # type: ignore[arg-type]


def _stored(path: Path) -> Snapshot:
    return read_planned(path, kind="certificate")


def _certify(data: str, results: Path, **changes: Any) -> Certificate:
    asked: dict[str, Any] = {"candidates": 8, "seeds": 2, "workers": 1, "results": results}
    found = certify(_space(data), **{**asked, **changes})
    assert isinstance(found, Certificate)
    return found


@pytest.fixture(scope="module")
def parked(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one that was stopped after five trainings."""

    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("training") and done == 5:
            raise KeyboardInterrupt

    results = tmp_path_factory.mktemp("results")
    with pytest.raises(ParkedError, match=r"the certificate is parked.*--resume"):
        _certify(data, results, on_progress=stop)
    path = results / "certify-toy"
    found = read_certificate(path)
    assert (found.num_done, found.finding) == (5, None)
    return path


@pytest.fixture(scope="module")
def whole(parked: Path) -> Certificate:
    """The same, gone on with by its name alone."""
    found = certify(name=parked.name, results=parked.parent, resume=True, workers=1)
    assert isinstance(found, Certificate)
    return found


def test_nothing_is_trained_twice(whole: Certificate, data: str) -> None:
    before = _stored(whole.path)
    ended = [t for trial in before.trials for t in trial.trainings if t.accuracy is not None]
    assert len(ended) == 32
    assert _certify(data, whole.path.parent, resume=True) == whole
    assert _stored(whole.path) == before


def test_it_is_no_study_of_a_search(whole: Certificate, data: str) -> None:
    with pytest.raises(StorageError, match=r"of the kind certificate, .*: archbench report"):
        open_study(whole.path)
    with pytest.raises(StorageError, match="of the kind certificate, and a search is needed"):
        search(_space(data), name=whole.name, results=whole.path.parent, resume=True)
    with pytest.raises(StorageError, match="there is no study here; begin one with"):
        open_study(whole.path.with_name("none"))


def test_plan_knows_how_many_candidates_there_are(whole: Certificate, data: str) -> None:
    assert _stored(whole.path).header["most_candidates"] == _space(data).size()
    assert most_candidates(_space(data)) == len(sample(_space(data), 1000, seed=0))


def test_another_is_not_taken_for_it(whole: Certificate, data: str) -> None:
    with pytest.raises(UsageError, match="it was begun with other candidates; resume it as"):
        _certify(data, whole.path.parent, resume=True, candidates=9)
    with pytest.raises(StorageError, match="certify-toy exists already"):
        _certify(data, whole.path.parent)


def test_data_that_were_moved_are_known_by_their_content(
    whole: Certificate, data: str, tmp_path: Path
) -> None:
    path = shutil.copytree(whole.path, tmp_path / whole.name)
    moved = shutil.copytree(data.removeprefix("folder:"), tmp_path / "moved")
    again: dict[str, Any] = {"name": whole.name, "results": tmp_path, "resume": True}
    certify(**again, data=f"folder:{moved}", workers=1)
    before, after = _stored(whole.path), _stored(path)
    assert after.header["proxy"] == {**before.header["proxy"], "data": f"folder:{moved}"}
    assert after.trials == before.trials
    certify(**again)
    assert _stored(path) == after, "where they lie needs to be said once"
    other = tiny.write_images(tmp_path / "other", per_class=30)
    with pytest.raises(UsageError, match=r"other are not those that the study was begun with, f"):
        certify(**again, data=f"folder:{other}", workers=1)
    with pytest.raises(MissingError, match="say where they are now: --data folder:PLACE"):
        certify(**again, data=f"folder:{tmp_path}/none", workers=1)
    with pytest.raises(MissingError, match="or add --download to fetch it"):
        certify(**again, data=f"cifar10:{tmp_path}", workers=1)
    assert _stored(path) == after


def test_every_candidate_has_its_trainings_of_both_lengths(whole: Certificate) -> None:
    assert (whole.num_trainings, whole.num_done) == (32, 32)
    assert len(whole.candidates) == 8
    for candidate in whole.candidates:
        curves = {seed: list(curve) for seed, curve in candidate.proxy.items()}
        assert curves == {0: [1, 2], 1: [1, 2]}
        assert candidate.longer.keys() == {2, 3}, "no seed is in score and truth"
    assert [c.macs for c in whole.candidates] == sorted(c.macs for c in whole.candidates)
    assert list((whole.path / "checkpoints").iterdir()) == []


def test_what_was_found_is_stored_and_read_again(whole: Certificate) -> None:
    assert whole.finding is not None
    assert [rung.epoch for rung in whole.finding.rungs] == [1, 2]
    assert read_certificate(whole.path) == whole
    written = json.loads((whole.path / "certificate.json").read_text())
    assert written["subject"] == json.loads(json.dumps(whole.header["subject"]))
    assert written["summary"]["state"] == whole.finding.state


def test_search_begins_with_a_certificate_where_it_is_wanted(data: str, tmp_path: Path) -> None:
    heard: list[events.Event] = []
    text = tiny.space_text(data, trials=1)  # type: ignore[arg-type]
    narrow = SearchSpace(
        text, source="toy.yaml",
        overrides=["stages[0].position=bias", "stages[0].block.num_heads=2", "stages[0].depth=1"],
    )  # fmt: skip
    assert narrow.size() == 8
    study = search(narrow, results=tmp_path, certify=True, on_event=heard.append)
    assert study is not None
    assert study.certificate is not None
    told = [e.text for e in heard if isinstance(e, events.StageChanged | events.Warned)]
    assert any("a certificate of the proxy comes first: 8 candidates x 2 seeds" in t for t in told)
    assert find_planned(tmp_path / study.certificate.name) is not None


def _told(data: str, results: Path, **changes: Any) -> list[str]:
    """What is said before the first trial of a search that would take so long."""
    heard: list[events.Event] = []
    space = SearchSpace(
        tiny.space_text(data, trials=changes.pop("trials", 10_000)),  # type: ignore[arg-type]
        source="toy.yaml",
        overrides=[changes.pop("widths", "stages[0].dim={from: 8, to: 8000, step: 8}")],
    )
    settings = settings_of(space, changes, name=None, results=results)
    context = idle_context(settings, heard)
    context.workers = 2
    context.proxy = unplanned(settings, {"num_classes": 3})
    context.header = {"trial_seconds": 1.0}
    certify_first(context, dry_run=True)
    return [e.text for e in heard if isinstance(e, events.StageChanged)]


def test_long_search_says_the_price_of_the_certificate_first(data: str, tmp_path: Path) -> None:
    assert _told(data, tmp_path) == [
        "a certificate of the proxy comes first: 32 candidates x 2 seeds x (2 + 4) epochs on 2 "
        "workers: about 2 minutes, 2 % of the search; --no-certify leaves it out"
    ]
    (fitted_in,) = _told(data, tmp_path, trials=400)
    assert "13 candidates x 2 seeds" in fitted_in
    assert "20 % of the search" in fitted_in
    (wanted,) = _told(data, tmp_path, trials=80, certify="always")
    assert "240 % of the search" in wanted


@pytest.mark.parametrize(
    "changes",
    [
        {"trials": 40},
        {"certify": "never"},
        {"time_limit_s": 60.0},
        {"widths": "stages[0].dim=[8]"},  # soon tried through, however many trials are allowed
    ],
    ids=str,
)
def test_short_search_begins_at_once(data: str, tmp_path: Path, changes: dict[str, Any]) -> None:
    assert _told(data, tmp_path, **changes) == []


def test_dry_run_says_the_price_and_stores_nothing(data: str, tmp_path: Path) -> None:
    design = certify(_space(data), dry_run=True, results=tmp_path, workers=1, max_minutes=60)
    assert isinstance(design, CertificateDesign)
    assert (design.candidates, design.seeds, design.epochs, design.longer) == (32, 2, 2, 4)
    assert design.seconds == pytest.approx(32 * 2 * 6 * design.epoch_seconds)
    assert list(tmp_path.iterdir()) == []


def test_fewer_seeds_than_the_proxy_averages_are_refused(data: str, tmp_path: Path) -> None:
    space = SearchSpace(_space(data).text, source="a.yaml", overrides=["proxy.seeds=3"])
    with pytest.raises(UsageError, match="the proxy averages 3 seeds, and only 2 are trained"):
        certify(space, seeds=2, results=tmp_path)


def test_space_with_too_few_candidates_is_refused(data: str, tmp_path: Path) -> None:
    space = SearchSpace(
        _space(data).text,
        source="toy.yaml",
        overrides=["stages[0].position=bias", "stages[0].depth=1", "stages[0].dim=16"],
    )
    with pytest.raises(SpaceError, match="only 6 feasible candidates, and a tau needs 8"):
        certify(space, results=tmp_path)


def test_less_time_takes_candidates_then_seeds_then_candidates() -> None:
    assert fitted(DESIGN, max_seconds=None) == DESIGN
    assert fitted(DESIGN, max_seconds=1000) == _design(27, 3)
    assert fitted(DESIGN, max_seconds=700) == _design(24, 2)
    assert fitted(DESIGN, max_seconds=400) == _design(16, 2)
    with pytest.raises(UsageError, match="12 candidates of 2 seeds take about 5"):
        fitted(DESIGN, max_seconds=60)
    assert in_words(_design(12, 2), asked=DESIGN).endswith(
        "about 5 minutes; 32 candidates of 3 seeds would take about 19 minutes"
    )


def test_sample_is_spread_over_the_cost_and_repeats_itself(data: str) -> None:
    space = _space(data)
    found = sample(space, 12, seed=0)
    assert [c for c, _ in found] == [c for c, _ in sample(space, 12, seed=0)]
    assert [c for c, _ in found] != [c for c, _ in sample(space, 12, seed=1)]
    macs = [count(spec).macs for _, spec in found]
    every = sorted(count(space.decode(c)).macs for c in space.enumerate())
    strata = [every[i * len(every) // 12 : (i + 1) * len(every) // 12] for i in range(12)]
    assert all(low[0] <= value <= low[-1] for low, value in zip(strata, macs, strict=True))
    assert len({spec.digest for _, spec in found}) == 12


def _design(candidates: int, seeds: int) -> CertificateDesign:
    return replace(DESIGN, candidates=candidates, seeds=seeds)
