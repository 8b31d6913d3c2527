"""Tencent's ncnn on the CPU, fed by its converter pnnx."""

import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from archbench.exactness import evaluating
from archbench.measure.backend import Runnable
from archbench.measure.backends._operators import left_outside
from archbench.study.measurement import Conditions

NEEDS = {"ncnn": "ncnn", "pnnx": "ncnn"}
PRECISIONS = {"cpu": ("fp32", "fp16")}
FORM = "portable"
SUFFIX = ".param"  # the layers; the weights lie in a .bin beside it
DYNAMIC_BATCH = True  # as it takes image by image


def write(
    network: nn.Module,
    example: Tensor,
    *,
    path: Path,
    conditions: Conditions,
    images: Iterable[Tensor],
    dynamic_batch: bool = False,
) -> None:
    """Traced by PyTorch for one image and converted; weights in fp16 where that is asked for.

    Raises:
        RuntimeError: ncnn has no layer for what the network does.
    """
    import ncnn
    import pnnx

    with tempfile.TemporaryDirectory(prefix="archbench-") as folder:
        with torch.no_grad(), evaluating(network):
            traced = torch.jit.trace(network, example[:1], check_trace=False)
        traced.save(str(Path(folder, "network.pt")))
        shape = ",".join(map(str, (1, *example.shape[1:])))
        fp16 = int(conditions.precision == "fp16")
        command = [pnnx.EXEC_PATH, "network.pt", f"inputshape=[{shape}]", f"fp16={fp16}"]
        done = subprocess.run(  # noqa: S603
            command, cwd=folder, capture_output=True, text=True, check=False
        )
        layers = Path(folder, "network.ncnn.param")
        if done.returncode or not layers.exists():
            raise RuntimeError(f"pnnx cannot convert it: {done.stderr[-200:]}")
        kinds = {line.split()[0] for line in layers.read_text().splitlines()[2:]}
        if unknown := sorted(kind for kind in kinds if ncnn.layer_to_index(kind) < 0):
            raise RuntimeError(f"ncnn has no layer {', '.join(unknown)}")
        path.write_bytes(layers.read_bytes())
        path.with_suffix(".bin").write_bytes(layers.with_suffix(".bin").read_bytes())


def open_artifact(path: Path, example: Tensor, *, conditions: Conditions) -> Runnable:
    """Loaded; image by image, as ncnn knows no batch. One thread works in the calling thread.

    In fp16 weights are, and what ncnn keeps between layers where it has that for the processor,
    which multiplies in fp16 where it can.

    Raises:
        RuntimeError: ncnn cannot load or run it.
    """
    import ncnn

    net, fp16 = ncnn.Net(), conditions.precision == "fp16"
    net.opt.num_threads = conditions.threads
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = fp16
    if net.load_param(str(path)) or net.load_model(str(path.with_suffix(".bin"))):
        raise RuntimeError(f"ncnn cannot load {path.name}")
    images = example.contiguous()
    arrays = [image.numpy() for image in images]  # the same memory
    (entry,), names = net.input_names(), net.output_names()

    def run() -> list[Tensor]:
        found: list[list[np.ndarray]] = [[] for _ in names]
        for image in arrays:
            extractor = net.create_extractor()
            extractor.input(entry, ncnn.Mat(image))
            for name, outputs in zip(names, found, strict=True):
                status, output = extractor.extract(name)
                if status:
                    raise RuntimeError("ncnn could not run the network")
                outputs.append(np.array(output))
        return [torch.from_numpy(np.stack(outputs)) for outputs in found]

    # A file with layers that are not ncnn's is not written.
    number = int(path.read_text().splitlines()[1].split()[0])
    details = left_outside((), total=number)
    return Runnable(run=run, precision=conditions.precision, details=details, images=images)
