"""A study goes on in a larger space; its trials stay what they were."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from archbench.analysis.study_header import spaces_in_words
from archbench.errors import UsageError
from archbench.search.growth import as_begun, grow
from archbench.search.optuna_view import Ledger
from archbench.search.sampler import SAMPLERS
from archbench.search.settings import Settings, settings_of
from archbench.search.suggestion import Suggester, encoded
from archbench.space import Choices, SearchSpace
from archbench.study.database import Store
from archbench.study.trial import TrialRecord
from tests.search import tiny
from tests.search.jobs import dashboard
from tests.study import example

_TEXT = tiny.space_text(Path("images"))
_TRIALS = 12


def _space(text: str = _TEXT) -> SearchSpace:
    return SearchSpace(text, source="toy.yaml", name="toy")


def _changed(*changes: tuple[str, str]) -> SearchSpace:
    text = _TEXT
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return _space(text)


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Ledger]:
    """Twelve trials that nobody trained."""
    space = _space()
    path = tmp_path / "toy" / "study.db"
    path.parent.mkdir()
    Ledger.create(path, _header(space)).close()
    rng = random.Random(0)
    with Ledger.open(path) as made:
        for number in range(_TRIALS):
            choices = space.sample_feasible(rng)
            assert choices is not None
            record = _record(space, number, choices)
            made.begin(record, taken=(), drawn=encoded(space, choices))
        yield made


def _header(space: SearchSpace) -> dict[str, Any]:
    return {
        "name": "toy",
        "created": "2026-11-20",
        "seed": 3,
        "sampler": "tpe",
        "trials": 6,
        "proxy": {"data": "images"},
        "objectives": dict(space.objectives),
        "limits": {},
        "size": space.size(),
        "space_text": space.text,
        "space_name": space.name,
    }


def _record(space: SearchSpace, number: int, choices: Choices) -> TrialRecord:
    spec = space.decode(choices)
    known = {"choices": space.values(choices), "spec": spec.to_document()}
    return example.trial(number, digest=spec.digest, proxy_accuracy=0.5, **known)


def _grow(study: Ledger, space: SearchSpace) -> None:
    grow(study, space, before=_space())


_LARGER = (
    ("[8, 16, 24, 32]", "[32, 40, 8, 16, 24]"),
    ("stages[0].position: [bias, absolute, none]", "stages[0].position: [none, bias, absolute]"),
    ("axes:\n", "axes:\n  stages[0].embed.norm: [layer, batch]\n"),
)


def test_trials_keep_their_networks_and_gain_the_new_axes(study: Ledger) -> None:
    before = dict(study.trials)
    _grow(study, _changed(*_LARGER))
    for number, record in study.trials.items():
        assert replace(record, choices={}) == replace(before[number], choices={})
        choices = dict(record.choices)
        assert choices.pop("stages[0].embed.norm") == "batch"
        assert choices == before[number].choices


def test_optuna_reads_every_trial_as_drawn_from_the_new_values(study: Ledger) -> None:
    space = _changed(*_LARGER)
    _grow(study, space)
    storage = optuna.storages.RDBStorage(f"sqlite:///{study.path}")
    trials = optuna.load_study(study_name="toy", storage=storage).trials
    assert len({tuple(sorted(trial.distributions.items())) for trial in trials}) == 1
    assert trials[0].distributions["stages[0].position"] == (
        optuna.distributions.CategoricalDistribution(["none", "bias", "absolute"])
    )
    for trial in trials:
        assert trial.params == study.trials[trial.number].choices
    assert len(dashboard(study.path, "studies/1")["trials"]) == _TRIALS


@pytest.mark.parametrize("sampler", SAMPLERS.names)
def test_every_sampler_goes_on_with_old_and_new_values(study: Ledger, sampler: str) -> None:
    space = _changed(*_LARGER)
    _grow(study, space)
    trials = study.frozen_trials()
    suggester = Suggester(
        space, sampler=SAMPLERS.load(sampler), seed=1, directions=list(space.objectives.values())
    )
    suggester.restore(
        (trial, study.trials[trial.number].digest, study.knowledge(study.trials[trial.number]))
        for trial in trials
    )
    proposal = suggester.suggest(_TRIALS)
    assert proposal is not None
    assert proposal.spec.digest not in {record.digest for record in study.trials.values()}
    study.begin(_record(space, _TRIALS, proposal.choices), drawn=proposal.drawn)


def test_the_header_tells_the_history_of_spaces(study: Ledger) -> None:
    space = _changed(("[8, 16, 24, 32]", "[8, 16, 24, 32, 40]"))
    _grow(study, space)
    header = study.header()
    assert (header["size"], header["space_text"]) == (270, space.text)
    assert spaces_in_words(header) == [
        "from trial 0 on 216 candidates",
        "from trial 12 on 270 candidates (axes.stages[0].dim was 8, 16, 24, 32 and is "
        "8, 16, 24, 32, 40)",
    ]
    assert (study.path.parent / "space.yaml").read_text() == space.text


def test_death_while_the_study_grows_leaves_it_as_it_was(
    study: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = _changed(*_LARGER)
    monkeypatch.setattr(Store, "_require", _dies)
    with pytest.raises(KeyboardInterrupt):
        _grow(study, space)
    monkeypatch.undo()
    assert study.header()["space_text"] == _TEXT
    with Ledger.open(study.path) as again:
        assert again.trials == study.trials
        _grow(again, space)  # what is printed as the next step names the new file
        assert again.header()["space_text"] == space.text


def _dies(*arguments: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "change",
    [
        ("objectives:", "require:\n  - stages[0].dim >= 16\nobjectives:"),
        ("key_dim: 8", "key_dim: 16"),
    ],
    ids=["lost a candidate", "other networks"],
)
def test_a_space_that_lacks_a_network_of_the_study_is_refused(
    study: Ledger, change: tuple[str, str]
) -> None:
    with pytest.raises(UsageError, match=r"is none of this space, or another network.*--from"):
        _grow(study, _changed(change))
    assert study.header()["space_text"] == _TEXT
    assert not (study.path.parent / "space.yaml").exists()


def _settings(space: SearchSpace) -> Settings:
    return settings_of(space, {}, name=None, results=Path("results"))


@pytest.mark.parametrize(
    ("before", "after", "place", "told"),
    [
        ("rungs: [1, 2]", "rungs: [1, 3]", "proxy.rungs", r"with \[1, 2\], not \[1, 3\]"),
        ("macs: min", "params: min", "objectives.macs", "with min, not nothing"),
        ("search:", "limits: {macs: 1e6}\nsearch:", "limits.macs", "with nothing, not 1000000"),
        ("search:", "target: {threads: 2}\nsearch:", "target.threads", "with 1, not 2"),
        ("seed: 3", "seed: 4", "search.seed", "with the seed 3, not 4"),
        ("sampler: tpe", "sampler: random", "search.sampler", "with the sampler tpe, not random"),
        ("pruner: none", "pruner: curve", "search.pruner", "with the pruner none, not curve"),
        ("trials: 6", "trials: 6, audit: 0.5", "search.audit", "with the audit 0.1, not 0.5"),
        ("[8, 16, 24, 32]", "[8, 16, 40]", r"axes.stages\[0\].dim", "gain values and loses none"),
    ],
)
def test_changing_what_a_number_means_is_refused_with_place_and_values(
    before: str, after: str, place: str, told: str
) -> None:
    with pytest.raises(UsageError, match=rf"{place}: .*{told}.*--from results/toy"):
        as_begun(_settings(_changed((before, after))), _header(_space()))


def test_what_an_option_began_stays_whatever_the_space_file_says() -> None:
    header = {**_header(_space()), "sampler": "random", "pruner": "curve"}
    grown = _changed(("trials: 6", "trials: 6, timeout: 20m"))
    found = as_begun(_settings(grown), header)
    assert (found.search.sampler, found.search.pruner) == ("random", "curve")
    named = _changed(("sampler: tpe", "sampler: random"), ("pruner: none", "pruner: curve"))
    assert as_begun(_settings(named), header).search.sampler == "random"
    with pytest.raises(UsageError, match="with the sampler random, not nsga2"):
        as_begun(_settings(_changed(("sampler: tpe", "sampler: nsga2"))), header)


@pytest.mark.parametrize(
    ("written", "begun", "trials", "epochs"),
    [
        ("trials: 6", {"trials": 20}, 20, None),
        ("trials: 6, timeout: 20m", {"trials": 20}, 20, None),
        ("trials: 9", {}, 9, None),
        ("epochs: 50", {}, 50, 50),
    ],
)
def test_a_space_file_with_another_budget_gives_the_study_that_budget(
    written: str, begun: dict[str, int], trials: int, epochs: int | None
) -> None:
    header = {**_header(_space()), **begun}
    found = as_begun(_settings(_changed(("trials: 6", written))), header)
    assert (found.search.trials, found.search.epochs) == (trials, epochs)


def test_a_space_that_the_study_has_outgrown_is_its_own() -> None:
    larger = _changed(("[8, 16, 24, 32]", "[8, 16, 24, 32, 40]"))
    header = {**_header(larger), "spaces": [{"text": _TEXT}, {"text": larger.text}]}
    assert as_begun(_settings(_space()), header).space.text == larger.text


def test_how_long_a_trial_may_take_can_be_changed(study: Ledger) -> None:
    space = _changed(("search: {", "search: {timeout: 20m, "))
    assert as_begun(_settings(space), _header(_space())).search.timeout_s == 1200
    _grow(study, space)
    assert "spaces" not in study.header()
