"""What a space file answers to the mistakes of who writes the first one."""

import pytest

from archbench.errors import ArchbenchError
from archbench.search.usable import require_usable
from archbench.space import SearchSpace
from tests.space.conftest import NETWORK

BASE = "base: levit_128s\n"

MISTAKES = [
    ("axis: {}", r"15:1: unknown key 'axis'; did you mean axes\?"),
    ("objectives: {accuracy: max, latency: min}", r"15:29: .*did you mean latency_ms\?"),
    ("axes:\n  stages[2].dim: [32]", "16:3: .* has 2 stages, 2 is not among them; allowed: 0 to 1"),
    ("axes:\n  stages[1].block: [{kind: levitt, key_dim: 8}]", r"16:28: .*did you mean levit\?"),
    ("axes:\n  stages[1].block.keydim: [8]", r"16:3: .*did you mean key_dim\?"),
    ("axes:\n  stages[1].dims: [64]", r"16:3: .*did you mean dim\?"),
    ("require:\n  - stages[0].dim > 1000", "of 1 candidates .* > 1000 excludes 1; loosen what"),
    ("axes:\n  stages[0].dim: 32, 64", r"16:18: .*got text; write \[1, 2\], \{from: 1, to: 4\}"),
    ("axes:\n\tstages[0].dim: [32]", "16:1: a tab stands here; indent with spaces"),
    ("limits: {latency_ms: 8ms}", "15:22: '8ms' is not a number; write 8; the unit is ms"),
    ('limits: "8ms"', "15:9: expected a mapping, got text; write it like {latency_ms: 8}"),
    ("limits: {macs: 400M}", "15:16: '400M' is not a number; write a number alone, as 400e6"),
    (
        "require: macs <= 4e6",
        r"15:10: expected a list of requirements, got text; write it .*  - macs",
    ),
    ("require: [macs <= 400M]", "15:11: .* 400M is not a number; 400e6 is"),
    ("search: {sampler: tpee}", r"15:19: unknown sampler 'tpee'; did you mean tpe\?"),
    ("search: {pruner: curv}", r"15:18: unknown pruner 'curv'; did you mean curve\?"),
    ("target: {backend: eagre}", r"15:19: unknown backend 'eagre'; did you mean eager\?"),
    ("target: {precision: bf61}", "15:21: 'bf61' is not one of fp32, bf16, fp16, int8"),
]
OF_A_BASE = [
    ("base: mobilenet_v3", "1:7: unknown network .*did you mean mobilenetv3_.*mobilenetv3_small_"),
    (f"{BASE}resolution: 160", "2:1: resolution stands beside base; write  set: {resolution: 160}"),
    (f"{BASE}proxy: {{epochs: 8}}", r"2:9: unknown key of proxy 'epochs'; .*rungs: \[8\]"),
    (f"{BASE}proxy: {{data: folder:nope}}", "2:15: nope: there is no such folder; put the images"),
    (f"{BASE}proxy: {{data: digits}}", "2:15: data: unknown data set 'digits'; did you mean clutt"),
    (f"{BASE}proxy: {{weights: nope.pt}}", "2:18: there is no file nope.pt; give a file of"),
]


@pytest.mark.parametrize(
    ("text", "answer"), [*((NETWORK + rest, answer) for rest, answer in MISTAKES), *OF_A_BASE]
)
def test_a_mistake_is_answered_with_its_place_and_what_to_write(text: str, answer: str) -> None:
    with pytest.raises(ArchbenchError, match=answer):
        _validate(text)


def _validate(text: str) -> None:
    """As ``archbench space validate`` does."""
    space = SearchSpace(text, source="small.yaml")
    require_usable(space)
    if not (share := space.feasible()).feasible:
        raise space.infeasible(share)
