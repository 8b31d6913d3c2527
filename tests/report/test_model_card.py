"""What a card and a terminal say of exported networks."""

from typing import Any

from archbench.report.findings import export as findings
from archbench.report.model_card import operators, readme

PREPARATION = {"resolution": 8, "resize": 8, "mean": [0.5], "std": [0.25], "class_names": ["a"]}
ACCURACY = {"value": 0.484, "low": 0.469, "high": 0.5, "num_images": 4000, "data": "photos"}
LATENCY = {"value": 0.3051, "low": 0.2971, "high": 0.3121, "verdict": "stable", "reason": ""}
ENTRY = {
    "format": "executorch", "precision": "fp16", "folder": "executorch-fp16", "library": "",
    "files": ["model.pte"], "bytes": 12_345_678, "batch": 1, "accuracy": ACCURACY,
    "compared": {"largest_difference": 1e-3, "agreement": 1.0, "num_images": 256, "on": "photos"},
    "latency": LATENCY, "operators": {"operators_outside": 1, "outside": "aten::cat 1"},
    "conditions": {"threads": 1}, "notes": ["a remark"],
}  # fmt: skip


def _card(*entries: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "toy", "digest": "0", "num_classes": 1, "params": 1, "macs": 1, "stages": ["one"],
        "weights": {"data": "photos", "recipe": {"epochs": 3, "loss": {"smoothing": 0.1}}},
        "preparation": PREPARATION, "accuracy": ACCURACY, "artifacts": list(entries), "failed": [],
    }  # fmt: skip


def test_operators_left_outside_are_told_by_their_kinds() -> None:
    counts = {"operators": 107, "operators_outside": 8, "outside": "Slice 2, Split 6"}
    entry = {**ENTRY, "format": "openvino", "operators": {**counts, "layers_run_in": "bf16 33"}}
    assert operators(entry) == (
        "openvino fp16: 8 of 107 operators (Slice 2, Split 6) run outside compiled kernels; its "
        "products run in bf16 33"
    )
    assert "products" not in operators({**entry, "precision": "bf16"})
    assert operators({**ENTRY, "operators": {}}) == ""


def test_remarks_and_operators_stand_in_the_card_once() -> None:
    text = readme(_card(ENTRY, {**ENTRY, "precision": "fp32"}))
    assert text.count("executorch: a remark") == 1
    assert text.count("operators (aten::cat 1) run outside XNNPACK") == 2
    assert "Recipe: epochs 3, smoothing 0.1." in text


def test_a_table_of_all_columns_fits_a_terminal() -> None:
    _, table, _ = findings.finding(_card(ENTRY), folder="out", next_step="").parts
    lines = table.text().splitlines()  # type: ignore[union-attr]
    assert len(lines[0].split("  ")) >= 7
    assert max(map(len, lines)) <= 80
