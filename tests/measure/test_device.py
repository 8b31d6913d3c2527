"""Another device: timed by an agent there, and never trusted with more than numbers."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from archbench.errors import (
    IncomparableError,
    MissingError,
    StorageError,
    UsageError,
    library_absence,
)
from archbench.evaluate.target import calibrated
from archbench.measure.backend import absence
from archbench.measure.device import known, link
from archbench.measure.device.link import Link, LinkError, asked_again
from archbench.measure.device.session import measuring_there, network_there
from archbench.measure.device.watch import BoardWatch, disturbances, in_words
from archbench.measure.latency.clock import measuring
from archbench.measure.latency.latency import measure_latency
from archbench.models import as_spec
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions

RUNTIME = '''
"""A runtime whose networks give how many passes they made, and end the agent at the last one."""
import ctypes, json, os
import numpy

class SessionOptions:
    def add_session_config_entry(self, key, value): ...
    def add_free_dimension_override_by_name(self, name, size): ...

class End:
    def __init__(self, name, shape): self.name, self.shape = name, shape

class InferenceSession:
    def __init__(self, path, options, providers):
        self.path, self.passes = path, 0
        with open(path) as file: self.last = json.load(file)["last"]
    def io_binding(self): return self
    def get_inputs(self): return [End("images", [1, 3, 4, 4])]
    def get_outputs(self): return [End("logits", ["batch", 2])]
    def bind_input(self, *entry): self.images = entry
    def bind_output(self, *entry): self.logits = entry
    def run_with_iobinding(self, binding):
        self.passes += 1
        if self.passes == self.last: os._exit(9)
        to = ctypes.cast(self.logits[5], ctypes.POINTER(ctypes.c_float))
        to[0] = self.passes
        to[1] = ctypes.cast(self.images[5], ctypes.POINTER(ctypes.c_float))[0]
'''
HERE = Conditions(device="board", backend="onnxruntime", resolution=(4, 4))
EXAMPLE = torch.full((1, 3, 4, 4), 7.0)

AddBoard = Callable[..., known.Device]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of the device, and where its runtime and its sensors lie."""
    for name in ("home", "site/onnxruntime-1.0.dist-info", "sensors/proc"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "site/onnxruntime.py").write_text(RUNTIME)
    _say_version(tmp_path, "1.0")
    return tmp_path / "home"


def _say_version(folder: Path, version: str) -> None:
    text = f"Metadata-Version: 2.1\nName: onnxruntime\nVersion: {version}\n"
    (folder / "site/onnxruntime-1.0.dist-info/METADATA").write_text(text)


@pytest.fixture
def add_board(home: Path) -> AddBoard:
    """Adds a device that is a shell of this machine."""

    def add(python: str = sys.executable, *, limit_bytes: int = known.LIMIT_BYTES) -> known.Device:
        folder = home.parent
        said = (f"HOME={home}", f"PYTHONPATH={folder / 'site'}")
        sensors = f"ARCHBENCH_SENSORS={folder / 'sensors'}"
        address = f"cmd:{shlex.join(['env', *said, sensors, 'sh'])}"
        return known.add("board", address, python=python, limit_bytes=limit_bytes)

    return add


@pytest.fixture
def board(add_board: AddBoard) -> known.Device:
    return add_board()


def artifact(folder: Path, *, last: int = 0, name: str = "network") -> Path:
    """A network of the runtime above, which ends the agent at the ``last`` pass."""
    (folder / name).mkdir(exist_ok=True)
    path = folder / name / "network.onnx"
    path.write_text(json.dumps({"last": last, "name": name}))
    return path


def test_a_device_is_known_by_what_its_agent_found(board: known.Device) -> None:
    assert known.known() == {"board": board}
    assert known.default_backend("board") == "onnxruntime"
    assert board.environment.packages.keys() == {"archbench", "torch", "numpy", "onnxruntime"}
    assert absence("onnxruntime", device="board") is None
    missing = absence("eager", device="board")
    assert missing is not None
    assert missing.help == "board has onnxruntime 1.0"
    known.forget("board")
    with pytest.raises(UsageError, match=r"unknown device 'board'.*known: cpu, cuda"):
        known.device_named("board")


@pytest.mark.parametrize("name", ["all", "cuda2", "Pi", "-o", ""])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no name of a device"):
        known.add(name, "cmd:sh", python="python3")


@pytest.mark.parametrize("address", ["pi", "ssh:", "ssh:-oProxyCommand=x", "cmd:", "cmd:'"])
def test_an_address_that_cannot_be_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="is no address of a device"):
        known.add("pi", address, python="python3")


def test_a_device_without_numpy_or_without_a_shell_is_refused(
    add_board: AddBoard, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nunset PYTHONPATH\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(MissingError, match=r"has no numpy; run there: .* -m pip install numpy"):
        add_board(str(bare))
    with pytest.raises(LinkError, match=r"no agent answers: .*/nowhere: not found"):
        add_board("/nowhere")
    assert known.known() == {}


def test_another_agent_or_runtime_is_refused(board: known.Device, home: Path) -> None:
    _say_version(home.parent, "1.1")
    with (
        pytest.raises(IncomparableError, match=r"onnxruntime 1\.0 and is .*onnxruntime 1\.1; arch"),
        board.linked(),
    ):
        pass
    _say_version(home.parent, "1.0")
    with (home / ".archbench/agent.py").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(IncomparableError, match=r"its agent is \w+ and not \w+"), board.linked():
        pass


def test_a_timed_pass_follows_others_of_its_own(board: known.Device, tmp_path: Path) -> None:
    with measuring(HERE) as bench:
        network = network_there(artifact(tmp_path), EXAMPLE, conditions=HERE)
        passes = []
        for act in (bench.watch, bench.repeated, lambda forward: bench.repeated(forward, pass_s=1)):
            act(network)
            (output,) = network()
            passes.append(output[0, 0].item())
        assert output[0, 1] == 7
        # `run` makes two passes; a lead is of 2 ms, and of four passes at most.
        assert passes == [3, 3 + 5 + 2, 10 + 1 + 2]
        timing = bench.repeated(network)
        assert timing.cpu > 0
        assert bench.now() > timing.cpu
        assert len(bench.pinning.cores) == 1
        assert bench.counters().ticks == 0  # its sensors know of none


def test_an_artifact_travels_once_and_those_unused_for_longest_are_given_up(
    add_board: AddBoard, home: Path, tmp_path: Path
) -> None:
    first = artifact(tmp_path, name="first")
    add_board(limit_bytes=int(1.5 * first.stat().st_size))
    kept = home / ".archbench/artifacts"

    def run(path: Path) -> list[Path]:
        with measuring(HERE):
            network_there(path, EXAMPLE, conditions=HERE)()
        return sorted(kept.glob("*/*.onnx"))

    (before,) = run(first)
    made = before.stat().st_ino
    assert [path.stat().st_ino for path in run(first)] == [made]
    (other,) = run(artifact(tmp_path, name="second"))
    assert other.parent != before.parent
    assert json.loads(other.read_text())["name"] == "second"


def test_an_agent_that_dies_within_a_round_is_a_lost_link_and_asked_again(
    board: known.Device, tmp_path: Path
) -> None:
    told: list[str] = []
    lasts = iter((6, 0))

    def time_passes() -> float:
        with measuring(HERE) as bench:
            path = artifact(tmp_path, last=next(lasts))
            network = network_there(path, EXAMPLE, conditions=HERE)
            network()
            return sum(bench.repeated(network).wall for _ in range(3))

    taken = asked_again(time_passes, on_progress=lambda what, *_: told.append(what), pauses_s=(0,))
    assert taken > 0
    assert told == ["device board: the link was lost: it ended with 9; asking again"]


def test_more_threads_than_cores_are_refused(board: known.Device) -> None:
    with (
        pytest.raises(UsageError, match=r"65 threads cannot be measured on \d+ cores"),
        measuring(replace(HERE, threads=65)),
    ):
        pass


def test_a_second_agent_waits_for_the_lock(board: known.Device) -> None:
    told: list[str] = []

    def tell(what: str, done: int, total: int) -> None:
        told.append(what)

    with (
        measuring(HERE),
        pytest.raises(StorageError, match=r"process \d+ there has been measuring for 0 s"),
        measuring_there(HERE, on_progress=tell, patience_s=0.1),
    ):
        pass
    (waiting,) = told
    assert waiting.startswith("waiting for process")
    with measuring(HERE):  # both agents ended with their input
        pass


def answering(*frames: bytes) -> list[str]:
    """A shell that greets behind some noise, and answers with these bytes whatever it is asked."""
    greeting = b'Welcome!\n{"archbench": 1, "machine": {}, "bytes": 0}\n'
    octal = ["".join(f"\\{byte:03o}" for byte in part) for part in (greeting, *frames)]
    lines = [f"read request; printf '{part}'" for part in octal]
    return ["sh", "-c", "; ".join(lines)]


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (b'{"a": 1, "bytes": 100}\nabc', "the link was lost: it ended with 0"),
        (b'{"a": 1, "byt', "the link was lost: it ended with 0"),
        (b"\x80\x04]\x94.\n", r"it answered b'\\x80\\x04\]\\x94.', which is no answer"),
        (b"[1, 2]\n", "which is no answer of an agent"),
        (b'{"a": 1}\n', "it answered None for a number of bytes"),
        (b'{"a": 1, "bytes": -3}\n', "it answered -3 for a number of bytes"),
        (b'{"a": NaN, "bytes": 0}\n', r"it answered \[nan\] for durations"),
        (b'{"a": "1", "bytes": 0}\n', r"it answered \['1'\] for durations"),
    ],
    ids=["cut-bytes", "cut-line", "pickle", "list", "no-size", "bad-size", "nan", "text"],
)
def test_what_is_no_answer_ends_the_link(frame: bytes, said: str) -> None:
    with closing(Link(answering(frame), "hello\n", name="bad")) as made:
        with pytest.raises(LinkError, match=said) as caught:
            made.seconds(made.ask("time")[0], "a")
        assert caught.value.place == "device bad"


def test_a_device_that_does_not_greet_is_refused() -> None:
    with pytest.raises(LinkError, match="no agent answers: no route to it"):
        Link(["sh", "-c", "echo no route to it >&2; exit 255"], "", name="away")
    with pytest.raises(LinkError, match="cannot be run: No such file"):
        Link(["/nowhere"], "", name="away")


def test_what_slows_a_board_down_is_told(board: known.Device, home: Path) -> None:
    sensors = home.parent / "sensors"
    cpufreq = f"sys/devices/system/cpu/cpu{max(os.sched_getaffinity(0))}/cpufreq"
    faked = {
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50005",
        "sys/class/thermal/thermal_zone0/temp": "81234",
        f"{cpufreq}/scaling_cur_freq": "600000",
        f"{cpufreq}/cpuinfo_max_freq": "1800000",
        f"{cpufreq}/scaling_governor": "ondemand",
        "proc/meminfo": "MemTotal: 900 kB\nMemAvailable: 125000 kB",
    }
    with measuring(HERE) as bench:
        assert isinstance(bench.others, BoardWatch)
        assert bench.others.use() == {"disturbance": "", "note": "0 MB free"}
        for name, text in faked.items():
            path = sensors / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        assert bench.others.use() == {
            "disturbance": "its supply gave too little voltage; it was throttled",
            "note": "81 °C, 600 of 1800 MHz (ondemand), 128 MB free",
        }


STATE = {
    "celsius": None, "governor": "ondemand", "clock_mhz": [1500.0, 1500.0], "most_mhz": None,
    "firmware": None, "slowed": 3, "swapped": 1000, "stalled_s": 2.0, "memory_bytes": 5e8,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"firmware": 0x50000}, ["its supply gave too little voltage", "it was throttled"]),
        ({"slowed": 5}, ["its cores were slowed down for heat 2 times"]),
        (
            {"clock_mhz": [1500.0, 1800.0]},
            ["its clock moved between 1500 and 1800 MHz by ondemand"],
        ),
        ({"swapped": 2000}, ["it was short of memory: 1000 pages were swapped"]),
        ({"stalled_s": 3.0}, ["it was short of memory: work waited for it 10% of the time"]),
    ],
)
def test_a_change_of_the_board_disturbs(change: dict[str, object], said: list[str]) -> None:
    assert disturbances(STATE, {**STATE, **change}, seconds=10.0) == said
    assert in_words(STATE) == "1500 MHz (ondemand), 500 MB free"


def test_bits_of_the_firmware_that_stood_before_do_not_disturb_again() -> None:
    before = {**STATE, "firmware": 0x50000}
    assert disturbances(before, before, seconds=10.0) == []


class Small(nn.Module):
    """Two convolutions, for the true runtime."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.Flatten()
        )

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.layers(images)
        return found


@pytest.fixture
def true_board(tmp_path: Path) -> Conditions:
    """A device that runs this Python with its own ONNX Runtime."""
    for name in ("onnxruntime", "onnx"):
        if library_absence(name, extra="onnx"):
            pytest.skip(f"{name} is not installed")
    (tmp_path / "home").mkdir()
    address = f"cmd:env HOME={tmp_path / 'home'} sh"
    known.add("board", address, python=sys.executable)
    return Conditions(device="board", backend="onnxruntime", resolution=(32, 32))


def test_a_network_is_timed_there_and_a_lost_link_leaves_it_incomplete(
    true_board: Conditions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = calibrated(true_board)
    assert target.constants["settings"]["device"] == "board"
    assert isinstance(target.environment, Environment)
    with target.bench() as bench:
        found = measure_latency({"small": Small().eval()}, bench=bench, budget_s=0.2)["small"]
    assert found.verdict in {"stable", "disturbed"}
    assert found.value is not None
    device = known.device_named("board")
    assert found.environment_id == target.environment.id == device.environment.id
    assert float(found.details["backend_error"]) < 1e-5
    assert "MB free" in str(found.details["board"])
    # The agent cannot be started any more.
    monkeypatch.setattr(link, "PAUSES_S", (0.0,))
    (tmp_path / "home/.archbench/agent.py").unlink()
    lost = target.measure_together({"levit": as_spec("levit_128s")})["levit"]
    assert (lost.value, lost.verdict) == (None, "incomplete")
    assert "no agent answers" in lost.reason
