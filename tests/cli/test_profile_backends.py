"""``archbench profile --backend``: side by side, with what was left out and what changes places."""

from __future__ import annotations

from typing import Any

from archbench.report.element import Lines, joined, text_of
from archbench.report.findings.profile import backend_tables, flips, has_several, unavailable


def entry(backend: str, ms: float | None, **changed: Any) -> dict[str, Any]:
    return {
        "device": "cpu",
        "backend": backend,
        "precision": "fp32",
        "precision_asked": "fp32",
        "batch": 1,
        "threads": 1,
        "median_ms": ms,
        "low_ms": ms and ms - 0.02,
        "high_ms": ms and ms + 0.02,
        "speed_to_eager": ms and 8.0 / ms,
        "verdict": "stable",
        "reason": "",
        "details": {"preparation_s": 0.004, "deployment_error": 6.4e-7},
        **changed,
    }


def test_backends_stand_side_by_side() -> None:
    openvino = entry(
        "openvino",
        4.0,
        precision="bf16",
        precision_asked="fp16",
        details={"preparation_s": 3.2, "backend_error": 6.7e-3},
    )
    broken = entry(
        "compiled", None, verdict="incomplete", reason="it was compiled again", details={}
    )
    model = {"latency": [entry("eager", 8.0), openvino, broken]}
    assert has_several(model)
    assert joined(backend_tables(model)) == (
        "latency on cpu x1, batch 1\n"
        "\n"
        "backend   as    ms (95 % interval)  x eager  ready in    error  verdict\n"
        "--------  ----  ------------------  -------  --------  -------  ----------\n"
        "eager     fp32    8.00 (7.98–8.02)     1.00     0.0 s  6.4e-07  stable\n"
        "openvino  bf16    4.00 (3.98–4.02)     2.00     3.2 s  6.7e-03  stable\n"
        "compiled  fp32                none        –         –        –  incomplete\n"
        "openvino computed bf16 where fp16 was asked for\n"
        "compiled fp32, incomplete: it was compiled again\n"
        "x eager: times as fast as eager in fp32\n"
        "ready in: copying, exporting and compiling\n"
        "error: largest difference from eager in fp32, over the largest output"
    )


def test_batches_of_one_backend_are_no_several() -> None:
    assert not has_several({"latency": [entry("eager", 8.0), entry("eager", 9.0, batch=4)]})


def test_what_was_left_out_is_listed_with_what_brings_it() -> None:
    left_out = [
        {
            "backend": "openvino",
            "precision": "",
            "reason": "openvino is not installed",
            "help": "pip install 'archbench[openvino]'",
        },
        {"backend": "eager", "precision": "int8", "reason": "it does not", "help": "it has fp32"},
    ]
    assert text_of(unavailable(left_out)) == (
        "left out:\n"
        "  openvino: openvino is not installed; pip install 'archbench[openvino]'\n"
        "  eager int8: it does not; it has fp32"
    )
    assert text_of(unavailable([])) == ""


def test_an_order_that_depends_on_the_backend_is_said() -> None:
    flip = {
        "first": "a",
        "second": "b",
        "device": "cpu",
        "batch": 1,
        "first_wins": ("eager fp32",),
        "second_wins": ("openvino fp32", "openvino bf16"),
    }
    assert text_of(Lines(flips([flip]))) == (
        "the order depends on the backend (cpu, batch 1): a is faster under eager fp32; b\n"
        "  under openvino fp32, openvino bf16"
    )
    assert flips([]) == []
