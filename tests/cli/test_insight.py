"""``archbench insight`` says what matters, and says so where nothing can be told."""

from __future__ import annotations

import json
from pathlib import Path

from archbench.analysis.importance import Insight
from archbench.report.element import joined
from archbench.report.findings.importance import told
from tests.cli.conftest import Run
from tests.cli.stored import write_study

STUDY = Path(__file__).parents[2] / "results" / "quickstart-recorded"


def test_recorded_study_is_told_in_80_columns(run: Run) -> None:
    ended = run("insight", str(STUDY))
    assert ended.code == 0
    assert ended.out.startswith(
        "quickstart-recorded: what 36 trained trials say of its choices\n\n"
        "accuracy at equal latency: no choice is separable with 36 trials\n"
    )
    assert max(map(len, ended.out.splitlines())) <= 80
    document = json.loads(run("insight", str(STUDY), "--json").out)
    assert (document["schema"], document["num_trials"]) == ("archbench.insight/1", 36)


def test_a_study_elsewhere_is_named_by_its_path_in_the_next_step(run: Run) -> None:
    write_study(Path("my results") / "toy")
    ended = run("insight", "toy", "--results", "my results")
    assert ended.err == "\nnext: archbench report 'my results/toy'\n"


def test_few_trials_are_told() -> None:
    text = joined(told("small", Insight(num_trials=9, cost="latency_ms")))
    assert text.endswith("not separable with 9 trials: 16 are the least")
