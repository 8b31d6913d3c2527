"""How many workers machines serve, and which GPU each of them has."""

from dataclasses import replace

import pytest

from archbench.errors import UsageError
from archbench.search.machines import Machines
from archbench.study.environment import usable_cores

_LISTED = """\
0, GPU-aa11, NVIDIA L4, 23034, 22000
1, GPU-bb22, NVIDIA L4, 23034, 20000
"""
GPUS = Machines(listed=lambda: _LISTED)


def _workers(machines: Machines, *, device: str = "cuda", asked: int | None = None) -> int:
    return machines.num_workers(asked, device=device, threads=1, left=100)


def test_every_gpu_is_a_worker_of_its_own() -> None:
    cores = usable_cores()
    assert _workers(GPUS) == min(2, cores)
    assert _workers(replace(GPUS, gpus=(1,))) == 1
    assert _workers(replace(GPUS, gpus=(1,), trials_per_gpu=2)) == min(2, cores)
    assert _workers(Machines(listed=lambda: "")) == 1, "one that torch finds by itself"


def test_gpus_without_a_use_for_them_are_refused() -> None:
    with pytest.raises(UsageError, match=r"--gpus: .*the device cpu, which uses no GPU"):
        _workers(replace(GPUS, gpus=(0,)), device="cpu")


def test_trials_share_what_is_free_of_a_gpu() -> None:
    given = replace(GPUS, trials_per_gpu=2).gpu_options("cuda")
    assert given["gpus"] == ["GPU-aa11", "GPU-bb22"]
    assert given["gpu_share"] == pytest.approx(20000 / 23034 / 3), "two, and one that times"
    assert GPUS.gpu_options("cuda")["gpu_share"] is None
    with pytest.raises(UsageError, match=r"--trials-per-gpu: 20 trials .* each 0\.9 GiB.*use 8"):
        replace(GPUS, trials_per_gpu=20).gpu_options("cuda")


def test_the_way_on_names_the_machines() -> None:
    cluster = Machines(engine="ray", address="auto", resources={"gpu": 1, "cpu": 4})
    assert cluster.typed == " --engine ray --address auto --resources gpu=1,cpu=4"
    assert Machines(gpus=(0, 2), trials_per_gpu=2).typed == " --gpus 0,2 --trials-per-gpu 2"
    assert Machines().typed == ""


def test_what_the_engine_has_no_use_for_is_refused() -> None:
    with pytest.raises(UsageError, match="--gpus: the engine ray has no use for it"):
        Machines(engine="ray", gpus=(0,))
    with pytest.raises(UsageError, match=r"--address: the engine local .* use --engine ray"):
        Machines(address="auto")
