"""The environment is that of this process, in a container, too."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from archbench.study import environment
from archbench.study.environment import capture, usable_cores, usable_memory_bytes

V2_MOUNT = "31 22 0:27 {root} /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
V1_MOUNT = "34 22 0:30 {root} /sys/fs/cgroup/{name} rw,nosuid - cgroup cgroup rw,{name}\n"
GIB = 2**30


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 64 cores and 256 GiB."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 256 * GIB // 4096}
    monkeypatch.setattr(os, "sysconf", lambda name: sizes[name])


def tree(root: Path, **files: str) -> Path:
    """Files by their path under the root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def version_2(root: Path, *, own: str = "/", mounted: str = "/", **files: str) -> Path:
    proc = {"proc/self/cgroup": f"0::{own}\n", "proc/self/mountinfo": V2_MOUNT.format(root=mounted)}
    return tree(root, **proc, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()})


def version_1(root: Path, *, own: str, mounted: str, **files: str) -> Path:
    lines = [f"{number}:{name}:{own}\n" for number, name in ((4, "memory"), (3, "cpu,cpuacct"))]
    mounts = [V1_MOUNT.format(root=mounted, name=name) for name in ("memory", "cpu,cpuacct")]
    proc = {"proc/self/cgroup": "".join(lines), "proc/self/mountinfo": "".join(mounts)}
    return tree(root, **proc, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()})


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("400000 100000\n", 4),
        ("250000 100000\n", 2),
        ("50000 100000\n", 1),
        ("max 100000\n", 64),
        ("", 64),
        ("nonsense\n", 64),
    ],
)
def test_quota_of_version_2(tmp_path: Path, quota: str, cores: int) -> None:
    assert usable_cores(root=version_2(tmp_path, **{"cpu.max": quota})) == cores


def test_strictest_group_on_the_way_up_counts(tmp_path: Path) -> None:
    files = {
        "pod/cpu.max": "300000 100000",
        "pod/box/cpu.max": "max 100000",
        "pod/memory.max": f"{8 * GIB}",
        "pod/box/memory.max": f"{2 * GIB}",
        "other/cpu.max": "100000 100000",
    }
    root = version_2(tmp_path, own="/pod/box", **files)
    assert usable_cores(root=root) == 3
    assert usable_memory_bytes(root=root) == 2 * GIB


def test_path_of_the_host_is_seen_from_the_mount(tmp_path: Path) -> None:
    files = {
        "cpu,cpuacct/cpu.cfs_quota_us": "200000",
        "cpu,cpuacct/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": f"{4 * GIB}",
    }
    root = version_1(tmp_path, own="/docker/12ab", mounted="/docker/12ab", **files)
    assert usable_cores(root=root) == 2
    assert usable_memory_bytes(root=root) == 4 * GIB


def test_version_1_without_limits(tmp_path: Path) -> None:
    files = {
        "cpu,cpuacct/user/cpu.cfs_quota_us": "-1",
        "cpu,cpuacct/user/cpu.cfs_period_us": "100000",
        "memory/user/memory.limit_in_bytes": "9223372036854771712",
    }
    root = version_1(tmp_path, own="/user", mounted="/", **files)
    assert usable_cores(root=root) == 64
    assert usable_memory_bytes(root=root) == 256 * GIB


def test_system_without_control_groups_or_affinity_has_all_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert usable_cores(root=tmp_path) == 64
    assert usable_memory_bytes(root=tmp_path) == 256 * GIB
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert usable_cores(root=tmp_path) == 8


def test_captured_environment_knows_the_machine_and_the_packages() -> None:
    captured = capture("NVIDIA H200")
    assert captured.cpu
    assert captured.gpu == "NVIDIA H200"
    assert captured.python == ".".join(map(str, sys.version_info[:3]))
    assert {"archbench", "torch", "numpy"} <= set(captured.packages)
    assert captured == capture("NVIDIA H200")
    assert captured.id == capture("NVIDIA H200").id != capture().id
    assert captured.id != replace(captured, packages={**captured.packages, "torch": "0.0"}).id


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor : 0\nmodel name\t: AMD EPYC 9454\nmodel name\t: other\n", "AMD EPYC 9454"),
        (
            "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd0c\n",
            "implementer 0x41 part 0xd0c",
        ),
    ],
)
def test_processor_is_named_as_the_system_tells_it(tmp_path: Path, text: str, name: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(text)
    assert environment._cpu(cpuinfo=cpuinfo).endswith(name)
    assert environment._cpu(cpuinfo=tmp_path / "none")


def test_only_what_changes_numbers_counts() -> None:
    here = capture()
    packages = {**here.packages, "openvino": "1", "scikit-learn": "9"}
    like = replace(
        here, memory_bytes=1, python="3.99", packages=packages, system=f"{here.system}-v2"
    )
    assert like.id != here.id
    assert like.what_counts() == here.what_counts()
    assert like.what_counts(backend="openvino") != here.what_counts(backend="openvino")
    others = ({"cpu": "x"}, {"cores": 1}, {"gpu": "x"}, {"system": "Darwin 1"})
    assert all(replace(here, **other).what_counts() != here.what_counts() for other in others)
    newer = replace(here, packages={**here.packages, "torch": "9"})
    assert newer.what_counts() != here.what_counts()
