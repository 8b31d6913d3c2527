"""A network, and an ablation that is known without training anything."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from archbench.analysis.ablation import (
    AblationRecord,
    Difference,
    FormRecord,
    FormState,
    PaperComparison,
)
from archbench.study.measurement import Measurement
from tests.study import example

LEVIT = {"kind": "levit", "num_heads": 2, "key_dim": 8}
SPEC: dict[str, Any] = {
    "name": "toy",
    "resolution": 16,
    "num_classes": 7,
    "stages": [
        {
            "embed": {"kind": "conv", "kernel": 4, "stride": 4, "padding": 0, "norm": "batch"},
            "block": {**LEVIT, "attention_ratio": 1, "mlp_ratio": 1},
            "dim": 16,
            "depth": 1,
            "position": "bias",
        },
        {
            "embed": {"kind": "shrink_attention", "key_dim": 8, "attention_ratio": 2, "stride": 2},
            "block": LEVIT,
            "dim": 24,
            "depth": 1,
            "position": "bias",
        },
    ],
    "head": {"pool": "mean", "norm": "batch", "num_classifiers": 1},
}


def latency(value: float) -> Measurement:
    """In ms, with an interval of a hundredth each way."""
    return replace(example.latency(value), samples=(value,), low=value - 0.01, high=value + 0.01)


def record(path: Path, *, is_paper: bool = False, name: str = "none") -> AblationRecord:
    """Five forms: the base's own value, one worse, one that cannot be told, illegal, failed."""
    printed = PaperComparison(
        row="A5: without attention bias", source="LeViT, table 5", top1=70.4, difference=-1.5,
        params=None, flops="305 M", note="", sign="sign confirmed",
    )  # fmt: skip
    base = _form("base", "base", accuracies={0: 0.71, 1: 0.72, 2: 0.73})
    worse = _form(
        f"position={name}",
        "trained",
        digest="b" * 16,
        params=12_281,
        latency=latency(0.45),
        accuracies={0: 0.69, 1: 0.71, 2: 0.71},
        latency_difference=Difference(value=-0.05, low=-0.064, high=-0.036),
        accuracy_difference=Difference(value=-0.0167, low=-0.031, high=-0.002),
        num_pairs=3,
        finding="worse",
        paper=printed if is_paper else None,
    )
    unseen = _form(
        "stages[all].block.mlp_ratio=2",
        "trained",
        digest="c" * 16,
        params=14_345,
        macs=778_900,
        latency=latency(0.51),
        accuracies={0: 0.72, 1: 0.71, 2: 0.74},
        latency_difference=Difference(value=0.01, low=-0.004, high=0.024),
        accuracy_difference=Difference(value=0.0033, low=-0.025, high=0.032),
        num_pairs=3,
        finding="no difference seen with 3 seeds",
    )
    own = _form("position=bias", "base")
    reason = "stages[0].position: needs attention"
    illegal = FormRecord(
        name="depth=0", knob="depth", value="0", state="illegal", reason=reason,
        finding="cannot be built",
    )  # fmt: skip
    failed = _form(
        "peak_rate=9",
        "failed",
        training={"peak_rate": 9},
        reason="seed 0 failed (nan): the loss became nan",
        finding="every training failed",
    )
    proxy = {
        "data": "cluttered_digits", "resolution": 64, "stem": "as_is", "scale": 0.25, "epochs": 8,
        "recipe": {"batch": 32, "teacher": "convolutional"}, "plan": {"precision": "fp32"},
    }  # fmt: skip
    header: dict[str, Any] = {
        "created": "2026-11-20T10:00:00+00:00",
        "command": "archbench ablate toy.yaml --axes position=bias,none",
        "paper": "levit" if is_paper else None,
        "notes": ["The paper trains for longer."] if is_paper else [],
        "environment": {"cpu": "a CPU", "cores": 2},
        "conditions": {"device": "cpu", "threads": 1},
        "seeds": 3,
        "proxy": proxy,
        "method": "Student's t.",
    }
    return AblationRecord(
        path=path,
        header=header,
        base=base,
        forms=(own, worse, unseen, illegal, failed),
        num_trainings=12,
        num_done=12,
    )


def _form(name: str, state: FormState, **known: Any) -> FormRecord:
    """A form of the base's own costs, where nothing else is said."""
    knob, _, value = name.partition("=")
    costs = {
        "digest": "a" * 16, "spec": SPEC, "params": 12_345, "macs": 678_900, "latency": latency(0.5)
    }  # fmt: skip
    named = {"name": name, "knob": knob if value else "", "value": value, "state": state}
    return FormRecord(**{**costs, **named, **known})
