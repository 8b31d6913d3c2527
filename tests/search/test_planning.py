"""A search that is planned: from the data, the machine and the hours to ordinary fields."""

import shlex
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from archbench.analysis.study import StudyReader, open_study
from archbench.cli.main import archbench, run
from archbench.errors import UsageError
from archbench.search import events, search
from archbench.search.affordable import (
    baseline_seconds,
    require_baseline_time,
    require_time,
)
from archbench.search.growth import as_begun
from archbench.search.settings import Settings, settings_of
from archbench.space import SearchSpace
from archbench.study.study_folder import resume_command
from tests.search import tiny


def _written(folder: Path, data: str) -> Path:
    """The tiny space, of whose candidates some see smaller images."""
    space = tiny.write_space(folder, data, sampler="random")
    text = space.read_text().replace("resolution: 16\nnum_classes", "resolution: 32\nnum_classes")
    text = text.replace("axes:\n", "axes:\n  resolution: [16, 24, 32]\n")
    space.write_text(text.replace("seed: 3", "seed: 3, confirm: false"))
    return space


@pytest.fixture(scope="module")
def heard() -> list[events.Event]:
    return []


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, data: str, heard: list[events.Event]
) -> StudyReader:
    """A search of two trials that was planned for an hour, which is plenty."""
    folder = tmp_path_factory.mktemp("planned")
    space = SearchSpace.load(_written(folder, data), overrides=["proxy.batch=8"])
    how: dict[str, Any] = {"results": folder / "results", "workers": 1, "trials": 2, "hours": 1}
    found = search(space, on_event=heard.append, **how)
    assert found is not None
    return found


def test_a_plan_is_ordinary_fields_which_the_study_keeps(study: StudyReader) -> None:
    space = SearchSpace.load(study.path / "space.yaml")
    assert space.base["num_classes"] == 3
    assert space.trained_sides == {24: 24, 32: 32}, "no larger than 32 px"
    assert space.proxy.rungs == (10, 15, 30), "of 102 images 30 epochs are the most"
    assert study.header["proxy"]["recipe"]["rungs"] == [10, 15, 30]
    assert (space.proxy.images, space.search.time_limit_s) == (None, 2880.0)
    assert space.search.timeout_s == 600.0


def test_what_was_said_is_not_planned(study: StudyReader) -> None:
    space = SearchSpace.load(study.path / "space.yaml")
    assert space.proxy.batch == 8
    assert study.header["trials"] == 2
    assert "search.trials" not in space.overridden


def test_the_plan_is_told_before_anything_is_prepared(heard: list[events.Event]) -> None:
    (planned,) = (event for event in heard if isinstance(event, events.Planned))
    told = [getattr(event, "text", "") for event in heard]
    begins = next(at for at, text in enumerate(told) if text.startswith("preparing the data"))
    assert heard.index(planned) < begins
    assert planned.lines[0] == "plan for 1 hour on 1 worker:"
    assert all(len(line) <= 80 for line in planned.lines)
    assert any("about 102 images of 16 px to train on, 3 classes" in one for one in planned.lines)


def test_a_planned_study_goes_on_by_the_line_that_is_printed(
    study: StudyReader, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(resume_command(study.path))[1:]
    assert run(archbench, (*words, "--trials", "3", "--workers", "1")) == 0
    assert len(open_study(study.path).trials()) == 3
    assert "plan for" not in capsys.readouterr().err


def test_a_planned_study_goes_on_by_the_command_that_began_it(
    study: StudyReader, tmp_path: Path, data: str
) -> None:
    space = SearchSpace.load(_written(tmp_path, data), overrides=["proxy.batch=8"])
    asked = partial(settings_of, space, name=study.name, results=study.path.parent)
    for said in ({}, {"hours": 1}):
        found = as_begun(asked(said), study.header)
        assert found.space.text == study.header["space_text"]
        assert found.search.time_limit_s == pytest.approx(2880 - study.header["seconds"])
    assert as_begun(asked({"time_limit_s": 60.0}), study.header).search.time_limit_s == 60
    with pytest.raises(UsageError, match="planned for --hours 1, and one that goes on"):
        as_begun(asked({"hours": 2}), study.header)


def test_too_few_hours_are_refused_with_how_many_would_do(tmp_path: Path, data: str) -> None:
    space = _written(tmp_path, data)
    with pytest.raises(UsageError, match=r"0.001 hours hold no 12 trials.*give .* hours or more"):
        search(space, results=tmp_path / "results", hours=0.001, workers=1)
    assert not (tmp_path / "results" / "toy").exists()


def _settings(*overrides: str) -> Settings:
    space = SearchSpace(tiny.space_text("folder:x"), source="toy.yaml", overrides=overrides)
    return settings_of(space, {}, name=None, results="results")


def test_trials_that_would_be_ended_are_refused_with_the_ways_out() -> None:
    settings = _settings("search.timeout=10m", "proxy.rungs=[5, 8, 16]", "proxy.stem=as_is")
    told = require_time(settings, seconds=100.0, workers=1, num_train=9000)
    assert told == ""
    told = require_time(settings, seconds=300.0, workers=1, num_train=9000)
    assert told.startswith("a trial may take 900 s and is ended after 600 s")
    with pytest.raises(UsageError, match="toy: a trial takes about 29 minutes, and is") as caught:
        require_time(settings, seconds=1740.0, workers=1, num_train=9000)
    assert caught.value.help == (
        "one of these does: fewer images, --set proxy.images=1000; fewer epochs, --set "
        "'proxy.rungs=[1]'; more time for each, --set search.timeout=87m; a plan for the hours "
        "there are, --hours 2"
    )


def test_a_time_that_holds_no_handful_is_refused() -> None:
    settings = _settings("search.time=10m", "proxy.resolution=96", "proxy.stem=keep_grid")
    assert require_time(settings, seconds=200.0, workers=2, num_train=9000) == ""
    with pytest.raises(UsageError, match="10 minutes on 2 workers hold fewer than 5") as caught:
        require_time(settings, seconds=250.0, workers=2, num_train=9000)
    assert "--time 11m" in str(caught.value.help)
    assert "--set proxy.stem=as_is" in str(caught.value.help)


def test_known_networks_leave_half_of_the_time_to_the_trials() -> None:
    named = "baselines=[mobilenetv3_small_050, levit_128s, cvt_13]"
    settings = _settings("search.time=10m", named)
    require_baseline_time(settings, each_s=100.0)
    assert baseline_seconds(settings, each_s=100.0) == 300.0
    with pytest.raises(UsageError, match="the 3 known networks take about 8 minutes") as caught:
        require_baseline_time(settings, each_s=150.0)
    assert caught.value.help == (
        "one of these does: name 2 of them; more time, --time 15m; none, --set 'baselines=[]'"
    )
    require_baseline_time(_settings(named), each_s=1e6)  # without a limit their time is theirs
    chosen = _settings("search.time=10m", "baselines=null")
    assert baseline_seconds(chosen, each_s=1e6) == 120.0, "a fifth"
