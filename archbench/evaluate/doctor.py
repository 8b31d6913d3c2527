"""What can this machine measure today, what stands in the way, and what is to be done about it?"""

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from archbench.analysis.study import open_study
from archbench.cache_folder import cache_folder
from archbench.errors import ArchbenchError
from archbench.evaluate.target import calibrated
from archbench.measure.backend import BACKENDS, PRECISIONS, absence, can_compute
from archbench.measure.device.known import default_backend
from archbench.measure.device.watch import BoardWatch
from archbench.measure.gpu import gpu_watch
from archbench.measure.latency.estimate import DRIFT_LIMIT, OFF_CPU_LIMIT
from archbench.measure.machine import (
    activity,
    clocks,
    devices,
    environment_of,
    gpu_name,
    load_average,
)
from archbench.measure.self_test import self_test
from archbench.progress import Progress
from archbench.study.atomic_file import backup_path
from archbench.study.connection import read
from archbench.study.measurement import Conditions
from archbench.study.study_folder import DATABASE, path_of

SCHEMA = "archbench.doctor/1"

# From where on a person is told what to do.
_COARSE = 0.03
_OFTEN_FALSE = 0.10
_STEAL = 0.01
_CONSTANT_LIMIT = 0.05
_LEAST_DISK = 2**30
_GPU_MEMORY = 0.05


def doctor(
    *,
    seconds: float = 10.0,
    device: str = "cpu",
    threads: int = 1,
    study: str | Path | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """An A/A test on this machine, and everything that may disturb a measurement.

    It is a JSON document of the schema ``archbench.doctor/1``. ``test`` are copies of one network,
    timed against one another, and ``activity`` is what else the machine did meanwhile; of the
    ``gpu``, or the ``board`` that another device is, the ``disturbance`` is what others did there
    during the test or what slowed it down, the ``note`` who is there without being known to work,
    or how the board is. ``backends`` have for each device the precisions that can be asked for
    here; none where one is not there, with what is ``missing`` and the ``help`` that brings it.
    ``disks`` are free bytes by folder. The ``fault`` of a study, why its database cannot be read,
    is empty where it is whole. Beside the seconds of the test it
    takes some 2 s, and once 2 s more for constants.

    Raises:
        ArchbenchError: See ``archbench.measure.latency.calibration.calibrate``.
    """
    path = None if study is None else path_of(study, place="study")
    environment, backend = environment_of(device), default_backend(device)
    conditions = Conditions(device=device, backend=backend, threads=threads)
    gpu, watch = _gpu(), gpu_watch("cuda") if gpu_name() else None
    if watch:
        watch.use()
    target = calibrated(conditions, environment=environment, on_progress=on_progress)
    with target.bench(on_progress=on_progress) as bench:
        began, before = time.monotonic(), bench.counters()
        test = self_test(bench, seconds=seconds)
        worked = activity(before, bench.counters(), seconds=time.monotonic() - began)
        board = bench.others.told() if isinstance(bench.others, BoardWatch) else None
    if gpu and watch:
        gpu |= watch.use(works=device == "cuda")
    found = {
        "schema": SCHEMA,
        "environment": environment.document(),
        "conditions": asdict(conditions),
        "test": test,
        "activity": worked,
        "clocks": board["clocks"] if board else clocks(),
        "load": board["load"] if board else load_average(),
        "gpu": gpu,
        "board": board and board["use"],
        "backends": [
            _backend(name, device=on)
            for on in (*devices(), *[device] * conditions.is_remote)
            for name in BACKENDS.names
        ],
        "disks": {
            **{str(path): _free(path) for path in (Path.cwd(), cache_folder() / "calibration")},
            **(board["disks"] if board else {}),
        },
        "study": _health(path) if path else None,
    }
    return {**found, "advice": advice(found)}


def advice(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """What stands in the way by a document of the doctor, with what to do about it."""
    told = (*_of_test(found["test"]), *_of_machine(found), *_of_storage(found))
    return [{"what": what, "do": do} for what, do in told]


def _backend(name: str, *, device: str) -> dict[str, Any]:
    missing = absence(name, device=device)
    asked = [Conditions(device=device, backend=name, precision=kind) for kind in PRECISIONS]
    return {
        "name": name,
        "device": device,
        "precisions": [] if missing else [one.precision for one in asked if can_compute(one)],
        "missing": missing.message if missing else "",
        "help": (missing.help or "") if missing else "",
    }


def _gpu() -> dict[str, Any] | None:
    name = gpu_name()
    if name is None:
        return None
    free, total = torch.cuda.mem_get_info()
    used = {"name": name, "memory_bytes": total, "used_bytes": total - free}
    return {**used, "disturbance": "", "note": ""}


def _free(path: Path) -> int:
    """Free bytes where the folder lies or will lie."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _health(path: Path) -> dict[str, Any]:
    file = path / DATABASE if path.suffix != ".db" else path
    found: dict[str, Any] = {
        "path": str(path),
        "trials": None,
        "size_bytes": file.stat().st_size if file.is_file() else 0,
        "has_backup": backup_path(file).is_file(),
        "fault": "",
        "help": "",
    }
    try:
        trials = len(open_study(path).trials())
        read(file, thorough=True)
    except ArchbenchError as error:
        return {**found, "fault": error.message, "help": error.help or ""}
    return {**found, "trials": trials}


def _of_test(test: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    resolution = test["resolution"]
    if resolution is None:
        yield "there was no time for an A/A test", "give it more --seconds"
    elif resolution["smallest"] > _COARSE:
        yield (
            f"differences under {resolution['smallest']:.1%} cannot be resolved",
            "give comparisons more --seconds, or quieten the machine as said below",
        )
    if resolution and resolution["false_share"] > _OFTEN_FALSE:
        yield (
            f"a network seemed different from itself in {resolution['false_share']:.0%} of "
            f"{resolution['comparisons']} comparisons, where 5% are by chance",
            f"take differences under {resolution['spread']:.1%} for ties",
        )
    if test["drift"] > DRIFT_LIMIT:
        yield (
            f"the speed of the machine moved by {test['drift']:.0%} within seconds",
            "compare networks in one run (archbench compare), never by times of two runs",
        )
    moved = ", ".join(
        f"{name} by {entry['deviation']:+.0%}"
        for name, entry in test["constants"].items()
        if abs(entry["deviation"]) > _CONSTANT_LIMIT
    )
    if test["due"]:
        due = f"stored constants no longer hold: {test['due']}"
        yield due, "nothing: the next measurement does"
    elif moved:
        yield (
            f"stored constants seem to hold no longer: {moved}",
            "quieten the machine: constants are then looked at again, and taken anew if need be",
        )
    if test["note"]:
        yield test["note"], "run archbench doctor again on a quiet machine"
    if test["seat"]["note"]:
        yield test["seat"]["note"], "take a Linux machine for numbers that count"


def _of_machine(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    activity, gpu, off_cpu = found["activity"], found["gpu"], found["test"]["off_cpu"]
    busy = ", ".join(f"{name} ({cores:.1f} cores)" for name, cores in activity["busy"])
    if off_cpu is not None and off_cpu > OFF_CPU_LIMIT:
        yield (
            f"other work held the measuring core for {off_cpu:.0%} of the time",
            f"end or move it: {busy}" if busy else "look for it on the host of this container",
        )
    elif busy:
        yield f"other processes work: {busy}", "end them: caches and clock are shared"
    if (activity["steal_share"] or 0) > _STEAL:
        yield (
            f"the host gave {activity['steal_share']:.1%} of the time to other guests",
            "measure at another hour, or on a machine of your own",
        )
    if activity["throttled"]:
        yield (
            f"cores were slowed down for heat {activity['throttled']} times",
            "cool the machine, or measure shorter",
        )
    if found["board"] and found["board"]["disturbance"]:
        yield (
            f"the board: {found['board']['disturbance']}",
            "cool it, give it its own supply, and end what else it does",
        )
    governor = found["clocks"]["governor"]
    if governor not in {None, "performance"}:
        yield (f"the clock is governed by {governor}", "sudo cpupower frequency-set -g performance")
    if gpu and gpu["disturbance"]:
        yield gpu["disturbance"], "nvidia-smi shows more: end what disturbs, or wait for it"
    if gpu and gpu["note"]:
        yield gpu["note"], "nvidia-smi shows them: end them before you measure there"
    elif gpu and gpu["used_bytes"] > _GPU_MEMORY * gpu["memory_bytes"]:
        yield (
            f"{gpu['used_bytes'] / 2**30:.1f} GiB of the GPU's memory are in use",
            "nvidia-smi shows by whom: end it before you measure there",
        )


def _of_storage(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for path, free in found["disks"].items():
        if free < _LEAST_DISK:
            yield f"only {free / 2**20:.0f} MiB are free in {path}", "make room: studies grow"
    study = found["study"]
    if study and study["fault"]:
        yield f"{study['path']}: {study['fault']}", study["help"]
