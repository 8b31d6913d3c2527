"""``archbench predict``: never shown as a measurement, its error always beside it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from archbench.report.findings.speed import prediction
from archbench.study.measurement import Conditions

PREDICTION: dict[str, Any] = {
    "name": "small",
    "digest": "0123456789abcdef",
    "ms": 4.2134,
    "low": 4.05,
    "high": 4.38,
    "error_percent": 3.14,
    "family": "levit",
    "num_wholes": 4,
    "num_blocks_new": 2,
    "conditions": asdict(Conditions(batch=1, resolution=(224, 224))),
}


def test_predictions_are_called_so_and_carry_their_error() -> None:
    slow = {**PREDICTION, "name": "large", "ms": 9.0, "low": 8.8, "high": 9.2, "family": "cvt"}
    assert prediction({"predictions": [slow, PREDICTION]}, next_step="").text() == (
        "predicted, not measured: cpu x1, eager fp32, batch 1; the sum of the network's\n"
        "blocks, each timed alone with cold caches\n"
        "\n"
        "network  px       family  predicted ms   new blocks\n"
        "-------  -------  ------  -------------  ----------\n"
        "small    224x224  levit   4.2 (4.0–4.4)           2\n"
        "large    224x224  cvt     9.0 (8.8–9.2)           2\n"
        "\n"
        "cvt: 3.1 % mean error on 4 whole networks, each predicted by the others\n"
        "levit: 3.1 % mean error on 4 whole networks, each predicted by the others"
    )


def test_networks_of_one_name_show_their_digest() -> None:
    other = {**PREDICTION, "digest": "f" * 16}
    text = prediction({"predictions": [PREDICTION, other]}, next_step="").text()
    assert "small 01234567" in text
    assert "small ffffffff" in text
