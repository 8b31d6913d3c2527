"""``archbench pick``: one design of a study, on the screen, as JSON and as a file."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from archbench.analysis.axis_change import AxisChange
from archbench.analysis.certificate import DOCUMENT, SCHEMA, CertificateSummary, subject_of
from archbench.analysis.statistics import Estimate
from archbench.models import ArchSpec
from archbench.report.element import ReportTable
from archbench.report.findings.pick import _changes
from archbench.study.database import Store
from archbench.yaml_document import load_yaml
from tests.cli.conftest import Run
from tests.cli.stored import write_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "results" / "toy", trials=24)


def test_the_spec_is_written_and_is_the_network(run: Run, study: Path, tmp_path: Path) -> None:
    file = tmp_path / "picked.yaml"
    ended = run("pick", str(study), "--knee", "--spec", str(file), "--json")
    document = json.loads(ended.out)
    assert document["schema"] == "archbench.pick/1"
    spec = load_yaml(file.read_text(), source="picked").plain()
    assert ArchSpec.from_document(spec) == ArchSpec.from_document(document["pick"]["spec"])
    assert document["runner_up"] is None or 0 <= document["runner_up"]["as_good"] <= 1


def test_a_folder_of_photos_does_not_hide_the_study_of_its_name(
    run: Run, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / study.name).mkdir()
    monkeypatch.chdir(tmp_path)
    ended = run("pick", study.name, "--knee", "--json")
    assert json.loads(ended.out)["study"] == study.name


def test_a_front_whose_proxy_cannot_rank_is_not_to_be_trusted(run: Run, study: Path) -> None:
    with Store.open(study / "study.db") as store:
        header = store.header()
        store.set_header("space_digest", "0e0205323f6c577a")
        recipe = {"rungs": header["proxy"]["rungs"], "seed": 0, "batch": 32}
        store.set_header("proxy", {**header["proxy"], "recipe": recipe})
        subject = subject_of(store.header())
    summary = CertificateSummary(
        name="certify-toy",
        created="2026-11-20",
        state="refused",
        at_equal_cost=Estimate(value=0.1, low=-0.2, high=0.3),
        sentence="This proxy cannot rank this space.",
    )
    document = {"schema": SCHEMA, "subject": subject, "summary": asdict(summary)}
    (study.parent / "certify-toy").mkdir()
    (study.parent / "certify-toy" / DOCUMENT).write_text(json.dumps(document))
    out = run("pick", str(study), "--latency", "1.2").out.replace("\n", " ")
    told = "Proxy not certified: tau at equal cost 0.10 [-0.20, 0.30]: this front is not to be"
    assert f"{told} trusted." in out
    assert told in json.loads(run("pick", str(study), "--knee", "--json").out)["why"]


def test_the_cost_of_a_change_stands_under_its_unit() -> None:
    gain = Estimate(value=0.01, low=0.005, high=0.015)
    change = AxisChange(axis="stages[0].dim", before=16, after=24, trial=3, accuracy=gain, cost=2e5)
    shown = _changes([change], cost="macs")
    assert isinstance(shown, ReportTable)
    assert list(shown.rows[0].items())[-2:] == [("M MACs", "+0.2"), ("trial", 3)]
