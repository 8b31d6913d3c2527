"""A study that starts from another: what counts as done is not trained again."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from archbench.analysis.study import StudyReader
from archbench.errors import UsageError
from archbench.report import write_report
from archbench.search import events, search
from archbench.search.confirmation import Repeats
from archbench.search.context import StudyContext
from archbench.search.earlier import Match, read_earlier
from archbench.search.held_out_test import take_test
from archbench.search.jobs import weights_path
from archbench.search.kept_weights import earlier_weights, kept_weights
from archbench.search.opening import opened, restore
from archbench.search.optuna_view import Ledger
from archbench.search.settings import Settings, settings_of
from archbench.search.warm_start import (
    WarmStart,
    create,
    first_choices,
    inherit,
    start,
    warm_start_entries,
)
from archbench.space import SearchSpace
from archbench.study.trial import TrialRecord
from tests.search import tiny
from tests.search.jobs import idle_context
from tests.study.example import latency


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory, data: str) -> StudyReader:
    folder = tmp_path_factory.mktemp("earlier")
    space = tiny.write_space(folder, data, trials=3)
    found = search(space, results=folder, name="a", workers=1)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def study(earlier: StudyReader, heard: list[events.Event]) -> StudyReader:
    """Like the earlier one, with one trial more."""
    before = _digest(earlier)
    found = search(
        earlier.path / "space.yaml",
        results=earlier.path.parent,
        name="b",
        trials=4,
        workers=1,
        start_from=[earlier.path],
        on_event=heard.append,
    )
    assert found is not None
    assert _digest(earlier) == before, "an earlier study is only read"
    return found


def _digest(study: StudyReader) -> str:
    return hashlib.sha256((study.path / "study.db").read_bytes()).hexdigest()


def test_trials_of_the_same_conditions_are_taken_and_not_trained(
    study: StudyReader, earlier: StudyReader, heard: list[events.Event]
) -> None:
    assert [record.origin for record in study.trials()] == ["a:0", "a:1", "a:2", ""]
    for mine, theirs in zip(study.trials(), earlier.trials(), strict=False):
        changed = {"origin": "", "spec": theirs.spec, "test_accuracy": None}
        assert replace(mine, **changed) == replace(theirs, test_accuracy=None)
    assert sum(isinstance(happened, events.TrialStarted) for happened in heard) == 1
    prepared = next(happened for happened in heard if isinstance(happened, events.Prepared))
    assert prepared.trials_done == 3
    assert prepared.sources == ("from a: 3 of 3 trials taken over",)


def test_optuna_has_the_trials_with_values_and_choices(study: StudyReader) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{study.path / 'study.db'}")
    trials = optuna.load_study(study_name="b", storage=storage).trials
    for trial, record in zip(trials, study.trials(), strict=True):
        shown = trial.user_attrs
        assert shown["state"] == record.state == "complete"
        assert [shown["proxy_accuracy"], shown["macs"]] == [record.proxy_accuracy, record.macs]
        is_candidate = study.rule.is_eligible(record)  # at chance it is shown as pruned
        assert trial.state == (TrialState.COMPLETE if is_candidate else TrialState.PRUNED)
        assert trial.values == ([record.proxy_accuracy, record.macs] if is_candidate else None)
        assert trial.user_attrs["digest"] == record.digest
        assert trial.params == record.choices
    assert len({tuple(sorted(trial.distributions.items())) for trial in trials}) == 1


def test_tables_document_and_page_say_where_trials_come_from(study: StudyReader) -> None:
    table = pd.read_csv(study.path / "trials.csv")
    assert list(table["origin"].fillna("")) == ["a:0", "a:1", "a:2", ""]
    (source,) = study.document()["sources"]
    assert (source["study"], source["taken"], source["prior"]) == ("a", 3, 0)
    page = next(f for f in write_report(study, study.path / "report") if f.suffix == ".html")
    text = page.read_text()
    assert "of these taken over: 3 from a" in text
    assert "from a: 3 of 3 trials taken over" in text
    assert "taken from a:2" in text


def test_a_study_can_start_from_two_and_takes_each_network_once(
    study: StudyReader, earlier: StudyReader
) -> None:
    settings = _settings(study, trials=9)
    found = _inherit([_read(earlier), _read(study)], study.header, settings=settings)
    assert [heir.record.origin for heir in found.inherited] == ["a:0", "a:1", "a:2", "b:3"]
    assert [source["taken"] for source in found.sources] == [3, 1]
    assert found.sources[1]["left"] == 3


def _settings(
    study: StudyReader,
    *,
    text: str | None = None,
    trials: int = 40,
    name: str = "c",
    results: Path | None = None,
) -> Settings:
    space = SearchSpace(text or study.header["space_text"], source="toy.yaml", name="toy")
    said = {"trials": trials, "workers": 1}
    return settings_of(space, said, name=name, results=results or study.path.parent)


def _context(settings: Settings, heard: list[events.Event], *, header: Any) -> StudyContext:
    context = idle_context(settings, heard)
    restore(context, {**header, "name": settings.name})
    return context


def _inherit(earlier: list[list[Match]], header: Any, *, settings: Settings) -> WarmStart:
    """What is taken over where nothing is to be timed."""
    return inherit(earlier, settings=settings, header=header, timer=_refuse)


def _read(study: StudyReader, *, space: SearchSpace | None = None) -> list[Match]:
    return read_earlier(study.path, space=space or _settings(study).space)


def _refuse(matches: object) -> Any:
    raise AssertionError("nothing is to be timed")


def _header(study: StudyReader, section: str, **changes: Any) -> dict[str, Any]:
    return {**study.header, section: {**study.header[section], **changes}}


@pytest.mark.parametrize(
    ("section", "changes", "told"),
    [
        ("proxy", {"recipe": {"rungs": [1, 3]}}, "proxy.rungs was 1, 2 and is 1, 3"),
        ("proxy", {"resolution": 24}, "proxy.resolution was 16 and is 24"),
        ("proxy", {"data_digest": "x", "data": "mine"}, "and is mine"),
        ("proxy", {"data_digest": "x"}, "are others than they were"),
        ("plan", {"precision": "bf16"}, "precision of training was fp32 and is bf16"),
        ("environment", {"packages": {"torch": "9"}}, "software torch was 2"),
    ],
)
def test_other_conditions_only_say_where_to_start_and_what_differs(
    earlier: StudyReader, section: str, changes: dict[str, Any], told: str
) -> None:
    if "recipe" in changes:
        changes = {"recipe": {**earlier.header["proxy"]["recipe"], **changes["recipe"]}}
    header = _header(earlier, section, **changes)
    found = _inherit(_above_chance(earlier), header, settings=_settings(earlier))
    assert found.inherited == ()
    (source,) = found.sources
    assert (source["taken"], source["prior"]) == (0, 3)
    assert any(told in difference for difference in source["differs"])
    assert {match.spec.digest for match in found.first} <= {r.digest for r in earlier.trials()}
    assert found.first


def test_another_seed_or_machine_is_no_other_accuracy(earlier: StudyReader) -> None:
    header = _header(earlier, "environment", cpu="another", cores=99)
    header["proxy"] = {**header["proxy"], "recipe": {**header["proxy"]["recipe"], "seed": 77}}
    found = _inherit([_read(earlier)], header, settings=_settings(earlier))
    assert len(found.inherited) == 3


def _above_chance(study: StudyReader) -> list[list[Match]]:
    """The study as it would be had every trial learnt something."""
    return [
        [
            replace(match, record=replace(match.record, proxy_accuracy=0.8 + number / 100))
            for number, match in enumerate(_read(study))
        ]
    ]


def test_a_network_trained_alike_but_timed_elsewhere_is_timed_and_not_trained(
    earlier: StudyReader,
) -> None:
    text = earlier.header["space_text"].replace(
        "{accuracy: max, macs: min}", "{accuracy: max, latency_ms: min}\nlimits: {latency_ms: 5}"
    )
    settings = _settings(earlier, text=text)
    header = {**earlier.header, "objectives": dict(settings.space.objectives), "calibration": {}}
    digests = [record.digest for record in earlier.trials()]
    values = dict(zip(digests, [2.0, 9.0, None], strict=True))
    found = inherit(
        [_read(earlier)],
        settings=settings,
        header=header,
        timer=lambda matches: {m.spec.digest: latency(values[m.spec.digest]) for m in matches},
    )
    fast, slow = (heir.record for heir in found.inherited)
    assert (fast.state, fast.latency) == ("complete", latency(2.0))
    assert (slow.state, slow.reason) == ("over_limit", "latency 9 ms is over the limit of 5 ms")
    assert fast.curve == earlier.trials()[0].curve
    (source,) = found.sources
    assert (source["taken"], source["timed"], source["left"]) == (2, 2, 1)
    assert source["otherwise"] == ["latency was not measured"]


def test_a_space_without_a_common_candidate_is_refused_with_what_differs(
    earlier: StudyReader, tmp_path: Path, data: str
) -> None:
    text = tiny.space_text(data).replace("kernel: 4, stride: 4", "kernel: 2, stride: 2")
    (tmp_path / "other.yaml").write_text(text.replace("[8, 16, 24, 32]", "[8, 64]"))
    with pytest.raises(UsageError) as caught:
        search(
            tmp_path / "other.yaml", results=tmp_path, start_from=[earlier.path], on_event=_no_stage
        )
    told = str(caught.value)
    assert "none of the 3 trials of a is a candidate of the space other" in told
    assert "axes.stages[0].dim was 8, 16, 24, 32 and is 8, 64" in told
    assert "stages[0].embed.kernel was 4 and is 2" in told
    assert "--from" in told


def _no_stage(happened: events.Event) -> None:
    told = getattr(happened, "text", "reading the study")
    assert told.startswith("reading the study"), "refused before anything is made"


def test_resuming_and_starting_from_another_at_once_is_refused(earlier: StudyReader) -> None:
    space = earlier.path / "space.yaml"
    with pytest.raises(UsageError, match="--from: a study that goes on takes nothing"):
        search(space, results=earlier.path.parent, resume=True, start_from=[earlier.path])


def _create(settings: Settings, header: Any, found: WarmStart) -> list[events.Event]:
    heard: list[events.Event] = []
    create(_context(settings, heard, header=header), found)
    return heard


def test_death_while_trials_are_written_leaves_nothing_and_hinders_nothing(
    earlier: StudyReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(earlier, results=tmp_path)
    found = _inherit([_read(earlier)], earlier.header, settings=settings)
    written: list[int] = []
    begin = Ledger.begin

    def dies(self: Ledger, record: Any, **options: Any) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(record.number)
        begin(self, record, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "begin", dies)
        with pytest.raises(KeyboardInterrupt):
            _create(settings, earlier.header, found)
    assert not settings.path.exists()
    _create(settings, earlier.header, found)
    with Ledger.open(settings.path / "study.db") as again:
        assert len(again.trials) == again.next_number == 3


@pytest.fixture
def heir_with_weights(study: StudyReader, earlier: StudyReader) -> Iterator[tuple[Any, Path]]:
    """A trial that was taken over, and the weights that only the earlier study has."""
    heir = study.trials()[1]
    weights_path(study.path / "checkpoints", heir.number, seed=0).unlink(missing_ok=True)
    file = weights_path(earlier.path / "checkpoints", 1, seed=0)
    file.write_bytes(b"weights")
    yield heir, file
    file.unlink()


def test_weights_that_the_earlier_study_still_has_are_found(
    study: StudyReader, heir_with_weights: tuple[TrialRecord, Path]
) -> None:
    heir, file = heir_with_weights
    assert earlier_weights(heir, header=study.header, num_seeds=1) == {0: file}
    sources = [{"study": study.name, "path": str(study.path)}]
    its_heir = replace(heir, origin=f"{study.name}:{heir.number}")
    assert earlier_weights(its_heir, header={"sources": sources}, num_seeds=1) == {0: file}
    own = replace(heir, origin="")
    assert earlier_weights(own, header=study.header, num_seeds=1) == {}


def test_weights_of_an_earlier_study_that_has_changed_are_not_taken(
    study: StudyReader, heir_with_weights: tuple[TrialRecord, Path], tmp_path: Path
) -> None:
    heir, _ = heir_with_weights
    point = replace(heir.curve[-1], accuracy=0.99)
    trained_anew = replace(heir, curve=(*heir.curve[:-1], point))
    for other in (replace(heir, digest="0" * 16), trained_anew):
        assert earlier_weights(other, header=study.header, num_seeds=1) == {}
    moved = [{**source, "path": str(tmp_path)} for source in study.header["sources"]]
    assert earlier_weights(heir, header={**study.header, "sources": moved}, num_seeds=1) == {}


def test_later_trainings_serve_where_a_searchs_own_weights_were_not_kept(
    earlier: StudyReader, tmp_path: Path
) -> None:
    record = earlier.trials()[0]
    twice = replace(record, curve=(*record.curve, replace(record.curve[-1], seed=1)))
    own, later = (weights_path(tmp_path / "checkpoints", 0, seed=seed) for seed in (0, 1))
    later.parent.mkdir()
    assert kept_weights(tmp_path, twice, num_seeds=1) == {}
    later.touch()
    assert kept_weights(tmp_path, twice, num_seeds=1) == {1: later}
    own.touch()
    assert kept_weights(tmp_path, twice, num_seeds=1) == {0: own}


def test_confirmation_uses_the_earlier_weights_and_says_where_it_looked(
    study: StudyReader, earlier: StudyReader, heir_with_weights: tuple[TrialRecord, Path]
) -> None:
    heir, file = heir_with_weights
    heard: list[events.Event] = []
    context = idle_context(_settings(study, name=study.name), heard)
    with opened(context):
        file.unlink()
        take_test(context, heir)
        file.touch()
    (told,) = heard
    assert isinstance(told, events.Warned)
    assert told.text == (
        "trial 1 was not tested: its weights are not here, and not in "
        f"{earlier.path.resolve()}, either"
    )


def test_the_start_is_the_front_then_what_was_next_to_it_spread_over_cost(
    earlier: StudyReader,
) -> None:
    (example, *_) = _read(earlier)
    front = [_match(example, number=n, macs=10 * n, accuracy=0.3 + n / 100) for n in range(30)]
    second = [_match(example, number=n, macs=10 * n, accuracy=0.1 + n / 100) for n in range(30, 40)]
    objectives: Any = {"proxy_accuracy": "max", "macs": "min"}
    few = start([[*second, *front]], objectives=objectives, left=15)
    assert len(few) == 5
    assert {match.record.number for match in (few[0], few[-1])} == {0, 29}
    many = start([[*second, *front[:8]]], objectives=objectives, left=60)
    assert [match.record.number for match in many[:8]] == list(range(8))
    assert len(many) == 18
    assert start([front], objectives=objectives, left=0) == []


def _match(example: Match, *, number: int, macs: int, accuracy: float) -> Match:
    record = replace(example.record, number=number, macs=macs, proxy_accuracy=accuracy)
    return replace(example, record=record)


def test_what_is_tried_first_is_found_again_in_the_header(earlier: StudyReader) -> None:
    settings = _settings(earlier)
    header = _header(earlier, "plan", precision="bf16")
    found = _inherit(_above_chance(earlier), header, settings=settings)
    kept = warm_start_entries(_context(settings, [], header=header), found)
    assert first_choices(settings.space, kept) == [match.choices for match in found.first]


def test_trainings_that_an_earlier_confirmation_took_use_up_no_budget(
    earlier: StudyReader, tmp_path: Path
) -> None:
    settings = _settings(earlier, results=tmp_path)
    found = _inherit([_read(earlier)], earlier.header, settings=settings)
    more = []
    for heir in found.inherited:
        again = replace(heir.record.curve[-1], seed=8, seconds=5.0)
        record = replace(heir.record, curve=(*heir.record.curve, again))
        more.append(replace(heir, record=record))
    _create(settings, earlier.header, replace(found, inherited=tuple(more)))
    context = idle_context(settings, [])
    with opened(context):
        repeats, ledger = Repeats(context, budget_s=1.0), context.study
        assert repeats.spent_s == 0
        last = ledger.trials[0].curve[-1]
        ledger.add_point(0, replace(last, seed=9, seconds=2.0))
        assert repeats.spent_s == pytest.approx(2.0)
