"""How fast are our networks beside other PyTorch code for the same ones, on one core.

Every form is timed in turn in every round, so that the state of the machine is common to all.
Peers run in a process as PyTorch finds it; our deployed form runs in one that keeps the memory of
freed tensors (archbench.memory), where each peer is timed a second time. Times are CPU times of
a whole process, so that work in other threads counts and preemption does not.

    python benchmarks/model_speed/model_speed.py forward --rounds 30 --compile
    python benchmarks/model_speed/model_speed.py training --rounds 8
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing as mp
import os
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

SIDE = 224
TRAINING_SIDE, TRAINING_BATCH = 64, 128
PEERS = {
    "levit_128s": "timm",
    "levit_128": "timm",
    "levit_256": "timm",
    "cvt_13": "transformers",
    "vit_pytorch_cvt": "vit-pytorch",
}
WORKERS = ("as it is", "memory kept")
PEAK = "peak"
COMPILE = "ARCHBENCH_BENCHMARK_COMPILE"  # the processes that time inherit it

Forward = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("forward", "training"))
    parser.add_argument("--rounds", type=int, default=30, help="at batch 1; a fifth of it at 16")
    parser.add_argument("--networks", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--compile", action="store_true", help="AOTInductor, too")
    options = parser.parse_args()
    if options.compile:
        os.environ[COMPILE] = "1"
    from archbench.measure.machine import capture_environment

    environment = capture_environment()
    packages = ("torch", "timm", "transformers", "vit-pytorch", "openvino")
    print(f"{environment.cpu}, {environment.cores} cores, {environment.system}")
    print(", ".join(f"{name} {version(name)}" for name in packages))
    print(f"load average at the start: {' '.join(f'{load:.1f}' for load in os.getloadavg())}\n")
    networks = options.networks
    if options.what == "training":
        networks = [name for name in networks if name in ("levit_128s", "cvt_13")]
    for name in networks:
        for batch in (1, 16) if options.what == "forward" else (TRAINING_BATCH,):
            rounds = options.rounds if batch == 1 else max(6, options.rounds // 5)
            run(options.what, name, batch=batch, rounds=rounds)
    print(f"\nload average at the end: {' '.join(f'{load:.1f}' for load in os.getloadavg())}")


def version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed(package)
    except PackageNotFoundError:
        return "not installed"


@dataclass
class Worker:
    """A process that times what it is told to."""

    name: str
    pipe: Any
    process: Any
    forms: dict[str, str] = field(default_factory=dict)

    def ask(self, form: str) -> float:
        """The CPU seconds of one run of a form."""
        self.pipe.send(form)
        seconds: float = self.pipe.recv()
        return seconds


def run(what: str, name: str, *, batch: int, rounds: int) -> None:
    """Times one network at one batch and prints its table."""
    context = mp.get_context("spawn")
    workers = []
    for kind in WORKERS:
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, what, name, batch, kind))
        process.start()
        workers.append(Worker(kind, ours, process, ours.recv()))
    seconds: dict[tuple[str, str], list[float]] = {
        (worker.name, form): [] for worker in workers for form in worker.forms
    }
    order = list(seconds)
    by_name = {worker.name: worker for worker in workers}
    for key in order:
        by_name[key[0]].ask(key[1])
    for round_ in range(rounds):
        random.Random(round_).shuffle(order)
        for key in order:
            seconds[key].append(by_name[key[0]].ask(key[1]))
    for worker in workers:
        worker.pipe.send(None)
        worker.process.join()
    notes = {form: by_name[kind].forms[form] for kind, form in order}
    report(what, name, batch, seconds, notes=notes)


def report(
    what: str,
    name: str,
    batch: int,
    seconds: dict[tuple[str, str], list[float]],
    *,
    notes: dict[str, str],
) -> None:
    from archbench import count
    from archbench.models import proxy
    from archbench.models.catalogue import published

    spec = published(name)
    passes = 2 * batch
    if what == "training":
        spec = proxy(spec, resolution=TRAINING_SIDE, num_classes=1000, stem="as_is")
        passes *= 3  # the backward pass multiplies twice for every product of the forward pass
    work = count(spec).macs * passes
    peak = quartile(seconds[WORKERS[1], PEAK])
    plain = f"{PEERS[name]}, plain"
    base = seconds[WORKERS[0], f"{plain}, fp32" if what == "training" else plain]
    peak_rate = float(notes[PEAK]) / peak
    rounds = len(base)
    print(
        f"## {name}, batch {batch}, {what}, {rounds} rounds; peak {peak_rate / 1e9:.0f} GFLOP/s "
        f"in fp32, at which it would take {work / peak_rate * 1e3:.2f} ms "
        f"({quartile(base) * peak_rate / work:.2f}x)\n"
    )
    print("| form | process | CPU ms | times as fast as plain | of fp32 peak | note |")
    print("|---|---|---|---|---|---|")
    for (kind, form), taken in sorted(seconds.items(), key=lambda item: -quartile(item[1])):
        if form == PEAK:
            continue
        low, high = ratio_interval(base, taken)
        print(
            f"| {form} | {kind} | {quartile(taken) * 1e3:.2f} | "
            f"{quartile(base) / quartile(taken):.2f} ({low:.2f}-{high:.2f}) | "
            f"{work / quartile(taken) / peak_rate:.0%} | {notes[form]} |"
        )
    print(flush=True)


def quartile(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) // 4]


def ratio_interval(base: list[float], taken: list[float]) -> tuple[float, float]:
    """95 % of the ratios of quartiles when rounds are drawn again, both of a round together."""
    rng = random.Random(0)
    pairs = list(zip(base, taken, strict=True))
    ratios = []
    for _ in range(1000):
        drawn = rng.choices(pairs, k=len(pairs))
        ratios.append(quartile([b for b, _ in drawn]) / quartile([t for _, t in drawn]))
    cuts = statistics.quantiles(ratios, n=40)
    return cuts[0], cuts[-1]


def serve(pipe: Any, what: str, name: str, batch: int, kind: str) -> None:
    """Times forms on demand, pinned to the last core."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    warnings.simplefilter("ignore")
    import torch

    from archbench.memory import keep_memory

    torch.set_num_threads(1)
    torch.manual_seed(0)
    if kind == WORKERS[1]:
        keep_memory()
    make = forward_forms if what == "forward" else training_forms
    forms = make(name, batch, ours=kind == WORKERS[1])
    if kind == WORKERS[1]:
        forms[PEAK] = peak()
    for run_form, _ in forms.values():
        for _ in range(2):
            run_form()
    pipe.send({form: note for form, (_, note) in forms.items()})
    while (form := pipe.recv()) is not None:
        run_form = forms[form][0]
        start = time.process_time()
        run_form()
        pipe.send(time.process_time() - start)


def peak() -> tuple[Forward, str]:
    """A product of 1024 x 1024 matrices with packed weights, several times, and its FLOPs."""
    import torch
    from torch import nn

    from archbench.models.kernels import Packed

    size, times = 1024, 4
    layer = Packed(nn.Linear(size, size), activation=None, size=torch.Size((size, size)))
    x = torch.randn(size, size)

    def multiply() -> None:
        with torch.inference_mode():
            for _ in range(times):
                layer(x)

    return multiply, str(2 * size**3 * times)


def forward_forms(name: str, batch: int, *, ours: bool) -> dict[str, tuple[Forward, str]]:
    import torch

    images = torch.randn(batch, 3, SIDE, SIDE)
    library = PEERS[name]
    forms = {f"{library}, plain": (inference(theirs(name), images), "")}
    if library == "timm":
        from timm.utils.model import reparameterize_model

        fused = reparameterize_model(theirs(name).eval())
        forms["timm, fused"] = (inference(fused, images), "reparameterize_model")
    last = theirs(name).to(memory_format=torch.channels_last)
    forms[f"{library}, channels_last"] = (
        inference(last, images.contiguous(memory_format=torch.channels_last)),
        "",
    )
    if ours:
        forms |= our_forms(name, images)
    return forms


def our_forms(name: str, images: Any) -> dict[str, tuple[Forward, str]]:
    from archbench import build, deploy, fold

    network = build(name, seed=0).eval()
    deployed = deploy(network, images, budget_s=10.0)
    note = ", ".join(f"{form} {number}" for form, number in deployed.summary().items())
    forms = {
        "archbench, as trained": (inference(network, images), ""),
        "archbench, folded": (inference(fold(network), images), ""),
        "archbench, deployed": (inference(deployed, images), f"{note}; error {deployed.error:.1e}"),
    }
    with contextlib.suppress(ImportError):
        forms["OpenVINO fp32, of our network"] = (openvino(fold(network), images), "")
    if os.environ.get(COMPILE):
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            run = compiled(fold(network), images, folder=folder)
        note = f"compiled in {time.perf_counter() - start:.0f} s"
        forms["archbench, folded, AOTInductor"] = (inference(run, images), note)
    return forms


def compiled(network: Any, images: Any, *, folder: str) -> Any:
    import torch
    import torch._inductor as inductor
    from torch import nn

    class Package(nn.Module):
        def __init__(self, run: Any) -> None:
            super().__init__()
            self.run = run

        def forward(self, x: Any) -> Any:
            """What the compiled network gives."""
            return self.run(x)

    with torch.no_grad():
        exported = torch.export.export(network, (images,))
        path = inductor.aoti_compile_and_package(
            exported,
            package_path=f"{folder}/network.pt2",
            inductor_configs={"freezing": True},
        )
    return Package(inductor.aoti_load_package(path))


def openvino(network: Any, images: Any) -> Forward:
    import openvino
    import torch

    with torch.no_grad():
        model = openvino.convert_model(network, example_input=images)
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    array = images.numpy()
    return lambda: request.infer({0: array})


def inference(network: Any, images: Any) -> Forward:
    import torch

    network = network.eval()

    def forward() -> object:
        with torch.inference_mode():
            return network(images)

    return forward


def theirs(name: str, *, side: int = SIDE) -> Any:
    if PEERS[name] == "timm":
        import timm

        return timm.create_model(name, img_size=side)
    if PEERS[name] == "transformers":
        from transformers import CvtConfig, CvtForImageClassification

        return CvtForImageClassification(CvtConfig(num_labels=1000))
    from vit_pytorch.cvt import CvT

    return CvT(num_classes=1000)


def training_forms(name: str, batch: int, *, ours: bool) -> dict[str, tuple[Forward, str]]:
    library = PEERS[name]
    forms = {}
    for precision in ("fp32", "bf16"):
        network = theirs(name, side=TRAINING_SIDE)
        if library == "timm":
            network.set_distilled_training(True)
        forms[f"{library}, plain, {precision}"] = (step(network, batch, precision=precision), "")
        if ours:
            forms[f"archbench, {precision}"] = (our_step(name, batch, precision=precision), "")
    return forms


def our_step(name: str, batch: int, *, precision: str) -> Forward:
    import torch

    from archbench import build
    from archbench.models import proxy
    from archbench.models.catalogue import published

    spec = proxy(published(name), resolution=TRAINING_SIDE, num_classes=1000, stem="as_is")
    network = build(spec, seed=0).to(memory_format=torch.channels_last)
    return step(network, batch, precision=precision, fused=True)


def step(network: Any, batch: int, *, precision: str, fused: bool = False) -> Forward:
    import torch
    from torch.nn import functional as F

    images = torch.randn(batch, 3, TRAINING_SIDE, TRAINING_SIDE)
    labels = torch.randint(0, 1000, (batch,))
    optimizer = torch.optim.AdamW(network.train().parameters(), 1e-3, fused=fused)

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            output = network(images)
        output = getattr(output, "logits", output)
        outputs = output if isinstance(output, tuple) else (output,)
        loss = torch.stack([F.cross_entropy(logits.float(), labels) for logits in outputs]).mean()
        loss.backward()
        optimizer.step()

    return train


if __name__ == "__main__":
    main()
