"""Which GPUs a process may use, by lists as the driver prints them."""

import pytest

from archbench.errors import UsageError
from archbench.measure.visible_gpus import visible_gpus

_LISTED = """\
0, GPU-aa11, NVIDIA A100-SXM4-80GB, 81920, 81000
1, GPU-bb22, NVIDIA A100-SXM4-80GB, 81920, 40000
2, GPU-cc33, NVIDIA A100-SXM4-80GB, 81920, 81000
"""


def _uuids(asked: list[int] | None = None, *, visible: str | None = None) -> list[str]:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    found = visible_gpus(asked, environment=environment, listed=lambda: _LISTED)
    return [gpu.uuid for gpu in found]


def test_all_gpus_are_visible_with_their_free_memory() -> None:
    found = visible_gpus(environment={}, listed=lambda: _LISTED)
    assert [gpu.index for gpu in found] == [0, 1, 2]
    assert (found[1].memory_bytes, found[1].free_bytes) == (81920 * 2**20, 40000 * 2**20)
    assert visible_gpus(environment={}, listed=lambda: "") == ()


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [
        ("2,0", ["GPU-cc33", "GPU-aa11"]),
        ("GPU-bb", ["GPU-bb22"]),
        ("", []),
        ("0,-1,2", ["GPU-aa11"]),  # as CUDA reads it: up to the first that is none
        ("MIG-GPU-aa11/1/0", []),
    ],
)
def test_what_the_variable_hides_is_not_visible(visible: str, uuids: list[str]) -> None:
    assert _uuids(visible=visible) == uuids


def test_gpus_are_asked_for_by_their_numbers() -> None:
    assert _uuids([2, 0, 2]) == ["GPU-cc33", "GPU-aa11"]
    with pytest.raises(UsageError, match=r"--gpus: there is no GPU 1 .*; use 0, 2"):
        _uuids([1], visible="0,2")


def test_gpus_of_different_kinds_are_refused() -> None:
    other = _LISTED + "3, GPU-dd44, NVIDIA L4, 23034, 22000\n"
    with pytest.raises(UsageError, match=r"of different kinds.*3: NVIDIA L4.*; name those of"):
        visible_gpus(environment={}, listed=lambda: other)
    assert len(visible_gpus([0, 1], environment={}, listed=lambda: other)) == 2
