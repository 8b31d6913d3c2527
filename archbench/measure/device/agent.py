"""What runs on another device: it opens networks in a runtime there and times single passes.

``archbench device add`` copies this one file to the device, where it needs numpy and a runtime and
nothing else, on Python 3.8 or later. Requests come on stdin, answers go to stdout: each is a line
of JSON, with raw bytes behind it where the line says how many. Which pass is timed when, and what
the times mean, is for the asking side to say. The agent ends when its input does.

As it imports nothing of the package, some of that stands here again: how a runtime is opened, as in
``archbench/measure/backends``; the system's counters, as in ``archbench/measure/machine.py``; how a
line with its bytes is read, as in ``link.py``.
"""

from __future__ import annotations

import fcntl
import gc
import glob
import hashlib
import importlib.util
import json
import os
import platform
import select
import shutil
import sys
import tempfile
import time
from importlib import metadata
from typing import Any, Callable

try:
    import numpy  # noqa: ICN001
except ImportError:  # the asking side says so
    numpy = None  # type: ignore[assignment]

_Pass = Callable[[], Any]

FOLDER = os.path.dirname(os.path.abspath(__file__))
STORE = os.path.join(FOLDER, "artifacts")
SENSORS = os.environ.get("ARCHBENCH_SENSORS", "/")  # where proc and sys lie
SPIN_S = 0.05  # of waiting for the next request, lest a governor lowers the clock in between


def _onnxruntime(path: str, images: Any, *, threads: int, precision: str) -> _Pass:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_free_dimension_override_by_name("batch", len(images))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    binding, (entry,), ends = session.io_binding(), session.get_inputs(), session.get_outputs()
    shapes = [[len(images) if isinstance(n, str) else n for n in end.shape] for end in ends]
    outputs = [numpy.empty(shape, numpy.float32) for shape in shapes]

    def bind(how: Callable[..., Any], name: str, array: Any) -> None:
        how(name, "cpu", 0, numpy.float32, list(array.shape), array.ctypes.data)

    bind(binding.bind_input, entry.name, images)
    for end, output in zip(ends, outputs):
        bind(binding.bind_output, end.name, output)
    return lambda: session.run_with_iobinding(binding) or outputs


def _openvino(path: str, images: Any, *, threads: int, precision: str) -> _Pass:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it reports its use
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    model.reshape(list(images.shape))
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": {"bf16": "bf16", "fp16": "f16"}.get(precision, "f32"),
        "ENABLE_CPU_PINNING": False,  # the agent pins
    }
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(images, shared_memory=True))
    ends = range(len(compiled.outputs))
    return lambda: request.infer() and [request.get_output_tensor(end).data for end in ends]


def _ncnn(path: str, images: Any, *, threads: int, precision: str) -> _Pass:
    import ncnn

    net, fp16 = ncnn.Net(), precision == "fp16"
    net.opt.num_threads, net.opt.use_vulkan_compute = threads, False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = fp16
    if net.load_param(path) or net.load_model(os.path.splitext(path)[0] + ".bin"):
        raise RuntimeError("ncnn cannot load it")
    (entry,), names = net.input_names(), net.output_names()

    def of_image(image: Any) -> list[Any]:
        extractor = net.create_extractor()
        extractor.input(entry, ncnn.Mat(image))
        return [numpy.array(extractor.extract(name)[1]) for name in names]

    return lambda: [numpy.stack(ends) for ends in zip(*map(of_image, images))]


def _litert(path: str, images: Any, *, threads: int, precision: str) -> _Pass:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=threads)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
    ends = [one["index"] for one in interpreter.get_output_details()]
    return lambda: interpreter.invoke() or [interpreter.get_tensor(end) for end in ends]


# How one opens a network, its module, and the package that brings it.
RUNTIMES: dict[str, tuple[Callable[..., _Pass], str, str]] = {
    "onnxruntime": (_onnxruntime, "onnxruntime", "onnxruntime"),
    "openvino": (_openvino, "openvino", "openvino"),
    "ncnn": (_ncnn, "ncnn", "ncnn"),
    "litert": (_litert, "ai_edge_litert", "ai-edge-litert"),
}


class Agent:
    """The networks that are open, by their keys; a method for each request."""

    def __init__(self, limit: int) -> None:
        self.limit, self.core, self.spins = limit, 0, False
        self.networks: dict[str, tuple[_Pass, Any]] = {}
        self.clock_mhz: list[float] = []
        self.lock_file: Any = None

    def hello(self) -> dict[str, Any]:
        with open(os.path.abspath(__file__), "rb") as file:
            version = hashlib.sha256(file.read()).hexdigest()[:12]
        packages = {"numpy": numpy.__version__} if numpy else {}
        for name, (_, module, package) in RUNTIMES.items():
            if importlib.util.find_spec(module):
                found = metadata.distributions(name=package)
                packages[name] = next((one.version for one in found), "unknown")
        machine = {
            "cpu": _cpu(),
            "cores": len(_cores()),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "system": platform.system() + " " + platform.release(),
            "python": platform.python_version(),
            "packages": packages,
        }
        return {"archbench": 1, "version": version, "machine": machine}

    def lock(self, threads: int) -> dict[str, Any]:
        """Keeps other agents from measuring, and takes the last cores; or says who measures."""
        self.lock_file = self.lock_file or open(os.path.join(FOLDER, "lock"), "a+")
        try:
            fcntl.flock(self.lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.lock_file.seek(0)
            return {"holder": self.lock_file.read() or "unknown"}
        self.lock_file.truncate(0)
        print(os.getpid(), end="", file=self.lock_file, flush=True)
        cores, can_pin = _cores()[-threads:], hasattr(os, "sched_setaffinity")
        self.core, self.spins = cores[-1], len(_cores()) > threads
        if can_pin:
            os.sched_setaffinity(0, cores)
        gc.disable()
        return {"holder": "", "cores": cores if can_pin else []}

    def put(self, sha256: str, files: list[Any], payload: bytearray) -> dict[str, Any]:
        """Keeps the files of an artifact, and gives up those that were not used for longest."""
        if hashlib.sha256(json.dumps(files).encode() + payload).hexdigest() != sha256:
            raise ValueError("what came is not what was sent")
        if len(payload) > self.limit:
            raise ValueError(f"{len(payload)} bytes are more than are kept there")
        os.makedirs(STORE, exist_ok=True)
        made = tempfile.mkdtemp(dir=STORE)
        for name, size in files:
            with open(os.path.join(made, os.path.basename(name)), "wb") as file:
                file.write(payload[:size])
            payload = payload[size:]
        os.replace(made, os.path.join(STORE, sha256))
        kept, total = sorted(glob.glob(STORE + "/*"), key=os.path.getmtime, reverse=True), 0
        for folder in kept:
            total += sum(map(os.path.getsize, glob.glob(folder + "/*")))
            if total > self.limit:
                shutil.rmtree(folder, ignore_errors=True)
        return {}

    def open(
        self,
        key: str,
        sha256: str,
        name: str,
        runtime: str,
        shape: list[int],
        payload: bytearray,
        **asked: Any,
    ) -> dict[str, Any]:
        """Opens a network for float32 images, or says that its artifact is missing."""
        path = os.path.join(STORE, sha256, name)
        if not os.path.exists(path):
            return {"missing": True}
        os.utime(os.path.dirname(path))
        images = numpy.frombuffer(payload, numpy.float32).reshape(shape).copy()
        self.networks[key] = RUNTIMES[runtime][0](path, images, **asked), images
        return {"missing": False}

    def run(self, key: str) -> tuple[dict[str, Any], bytes]:
        """The outputs, and of a pass the CPU time of this thread and of all."""
        forward, _ = self.networks[key]
        forward()
        cpu, all_cpu = time.thread_time(), time.process_time()
        outputs = [numpy.ascontiguousarray(one, numpy.float32) for one in forward()]
        cpu, all_cpu = time.thread_time() - cpu, time.process_time() - all_cpu
        shapes = [list(one.shape) for one in outputs]
        told = {"cpu": cpu, "all_cpu": all_cpu, "shapes": shapes}
        return told, b"".join(one.tobytes() for one in outputs)

    def time(self, key: str, lead_s: float, most: int, by_cpu: bool) -> dict[str, Any]:
        """Times one pass, which untimed ones of the same network lead for some time."""
        forward, images = self.networks[key]
        now = time.thread_time if by_cpu else time.perf_counter
        began = now()
        if not lead_s:
            images.sum()  # as if another network had just written them
        for _ in range(most if lead_s else 0):
            forward()
            if now() >= began + lead_s:
                break
        wall, cpu = time.perf_counter(), time.thread_time()
        forward()
        cpu = time.thread_time() - cpu
        wall = time.perf_counter() - wall
        self.clock_mhz += self._frequency("scaling_cur_freq")
        return {"wall": wall, "cpu": cpu, "spent": now() - began}

    def evict(self, size: int) -> dict[str, Any]:
        """Fills the caches with other data."""
        numpy.ones(size // 4, numpy.float32).sum()
        return {}

    def state(self) -> dict[str, Any]:
        """What may disturb: heat, clock, memory; clocks are those since this was last asked."""
        clock = self.clock_mhz or self._frequency("scaling_cur_freq")
        self.clock_mhz = []
        counts = _numbers("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
        memory = dict(line.split()[:2] for line in _lines("proc/meminfo"))
        pages = dict(line.split()[:2] for line in _lines("proc/vmstat"))
        stalled = [line.split("total=")[1] for line in _lines("proc/pressure/memory")]
        governor = f"sys/devices/system/cpu/cpu{self.core}/cpufreq/scaling_governor"
        return {
            "celsius": max(_numbers("sys/class/thermal/thermal_zone*/temp", 1e-3), default=None),
            "governor": " ".join(_texts(governor)),
            "clock_mhz": [min(clock), max(clock)] if clock else None,
            "most_mhz": max(self._frequency("cpuinfo_max_freq"), default=None),
            "firmware": _firmware(),
            "slowed": int(sum(counts)),
            "swapped": int(pages.get("pswpin", 0)) + int(pages.get("pswpout", 0)),
            "stalled_s": int(stalled[0]) / 1e6 if stalled else 0.0,
            "memory_bytes": 1024 * int(memory.get("MemAvailable:", 0)),
            "load": os.getloadavg()[0],
            "folder": FOLDER,
            "free_bytes": shutil.disk_usage(FOLDER).free,
        }

    def counters(self) -> dict[str, Any]:
        """Ticks of all cores, those of them that were stolen, and of each other process."""
        ticks = [int(field) for field in (_lines("proc/stat") or ["cpu"])[0].split()[1:9]]
        processes = {}
        for text in _texts("proc/[0-9]*/stat"):
            number, (name, rest) = text.split()[0], text.split("(", 1)[1].rsplit(")", 1)
            if number != str(os.getpid()):
                processes[number] = [name, sum(int(field) for field in rest.split()[11:13])]
        return {"ticks": sum(ticks), "stolen": sum(ticks[7:]), "processes": processes}

    def _frequency(self, name: str) -> list[float]:
        return _numbers(f"sys/devices/system/cpu/cpu{self.core}/cpufreq/{name}", 1e-3)


def _texts(pattern: str) -> list[str]:
    found = []
    for path in sorted(glob.glob(os.path.join(SENSORS, pattern))):
        try:
            with open(path, errors="replace") as file:
                found.append(file.read().strip())
        except OSError:
            pass
    return found


def _lines(pattern: str) -> list[str]:
    return [line for text in _texts(pattern) for line in text.splitlines()]


def _numbers(pattern: str, scale: float = 1.0) -> list[float]:
    return [float(text) * scale for text in _texts(pattern) if text.lstrip("-").isdigit()]


def _firmware() -> int | None:
    """The bits by which a Raspberry Pi says what slows it down; None elsewhere."""
    told = _texts("sys/devices/platform/soc*/*firmware/get_throttled")
    if not told and (command := shutil.which("vcgencmd")):
        with os.popen(f"{command} get_throttled") as answer:  # noqa: S605
            told = [answer.read().strip().rpartition("=")[2]]
    return int(told[0], 16) if told and told[0] else None


def _cores() -> list[int]:
    has = hasattr(os, "sched_getaffinity")
    return sorted(os.sched_getaffinity(0)) if has else list(range(os.cpu_count() or 1))


def _cpu() -> str:
    fields = dict(line.partition(":")[::2] for line in _lines("proc/cpuinfo"))
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    board = [text.strip("\0") for text in _texts("proc/device-tree/model")]
    part = f"part {fields['CPU part']}" if "CPU part" in fields else ""
    return fields.get("model name") or " ".join([*board, platform.machine(), part]).strip()


class Channel:
    """Lines and bytes on stdin and stdout; whatever else prints, prints to stderr."""

    def __init__(self) -> None:
        self.held, self.out = bytearray(), os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)

    def take(self, size: int | None = None, *, spins: bool = False) -> bytearray:
        """So many bytes, or a line; the agent ends where the input does."""
        until = time.perf_counter() + (SPIN_S if spins else 0)
        while b"\n" not in self.held if size is None else len(self.held) < size:
            while time.perf_counter() < until and not select.select([0], [], [], 0)[0]:
                os.sched_yield()
            more = os.read(0, 1 << 20)
            if not more:
                sys.exit(0)
            self.held += more
        end = self.held.index(b"\n") + 1 if size is None else size
        taken = self.held[:end]
        del self.held[:end]
        return taken

    def give(self, answer: dict[str, Any], payload: bytes = b"") -> None:
        """A line of JSON with the bytes behind it."""
        self.out.write(json.dumps({**answer, "bytes": len(payload)}).encode() + b"\n" + payload)
        self.out.flush()


def main() -> None:
    """Answers one request after another; what fails is answered with why."""
    if hasattr(os, "sched_setaffinity"):  # who started it may be pinned
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    channel, agent = Channel(), Agent(limit=int(sys.argv[1]))
    channel.give(agent.hello())
    while True:
        request = json.loads(channel.take(spins=agent.spins))
        size = request.pop("bytes")
        payload = {"payload": channel.take(size)} if size else {}
        try:
            answer = getattr(agent, request.pop("do"))(**request, **payload)
            channel.give(*(answer if isinstance(answer, tuple) else (answer,)))
        except Exception as error:
            channel.give({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
