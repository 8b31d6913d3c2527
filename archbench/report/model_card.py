"""What does a person read who gets an exported network: what it is, how good, how to load it?

The card is Markdown; its snippets need Pillow, numpy and the library of the format, not archbench.
"""

from collections.abc import Mapping
from typing import Any

from archbench.report import number
from archbench.report.findings.training import recipe_fields

Card = Mapping[str, Any]

_LOADING = {
    "onnx": """\
import onnxruntime

session = onnxruntime.InferenceSession("{file}")
logits = session.run(None, {{session.get_inputs()[0].name: images}})[0]
""",
    "openvino": """\
import openvino

settings = {{"INFERENCE_PRECISION_HINT": "{kept}"}}
model = openvino.Core().compile_model("{file}", "CPU", settings)
logits = model(images)[0]
""",
    "exported": """\
import torch

model = torch.export.load("{file}").module()
logits = model(torch.from_numpy(images){to_half}).detach().numpy()
""",
    "aotinductor": """\
import torch

model = torch._inductor.aoti_load_package("{file}")
logits = model(torch.from_numpy(images){to_half}).float().numpy()
""",
    "litert": """\
from ai_edge_litert.interpreter import Interpreter

model = Interpreter("{file}")
model.allocate_tensors()
model.set_tensor(model.get_input_details()[0]["index"], images)
model.invoke()
logits = model.get_tensor(model.get_output_details()[0]["index"])
""",
    "ncnn": """\
import ncnn

net = ncnn.Net()
net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = {half}
net.load_param("{file}")
net.load_model("{other}")
extractor = net.create_extractor()
extractor.input(net.input_names()[0], ncnn.Mat(images[0]).clone())
logits = np.array(extractor.extract(net.output_names()[0])[1])[None]
""",
    "executorch": """\
import torch
from executorch.runtime import Runtime

method = Runtime.get().load_program("{file}").load_method("forward")
logits = method.execute([torch.from_numpy(images)])[0].numpy()
""",
    "timm": """\
import timm
import torch

model = timm.create_model(
    "{kind}", num_classes={classes}, checkpoint_path="{folder}/model.safetensors", {settings}
).eval()
with torch.no_grad():
    logits = model(torch.from_numpy(images)).numpy()
""",
    "transformers": """\
import torch
from transformers import {kind}

model = {kind}.from_pretrained("{folder}").eval()
with torch.no_grad():
    logits = model(torch.from_numpy(images)).logits.numpy()
""",
    "torch": """\
import sys

import torch

sys.path.insert(0, "{folder}")
from model import Model

logits = Model()(torch.from_numpy(images)).numpy()
""",
}

_INSIDE = {
    "executorch": "XNNPACK",
    "litert": "XNNPACK",
    "ncnn": "ncnn's layers",
    "onnx": "the CPU provider",
    "openvino": "compiled kernels",
}
"""What runs the operators that a runtime takes."""


def readme(card: Card) -> str:
    """The model card of a document of ``archbench.card/1``, in Markdown."""
    sections = [
        f"# {card['name']}",
        _what(card),
        "## Exported\n\n" + _table(card),
        "## Images\n\n" + _images(card),
        *_loading(card),
        "## Classes\n\n" + _classes(card),
        "## Licence\n\nLicence of the weights: to be filled in.\n\nLicence of the images that they "
        "were trained on: to be filled in.",
    ]
    return "\n\n".join(sections) + "\n"


def _what(card: Card) -> str:
    """The network, its training and its accuracy, in words."""
    weights = card["weights"]
    lines = [
        f"A network of {number.short(card['params'])} parameters and {number.short(card['macs'])} "
        f"multiply-adds for one image, with {card['num_classes']} classes; digest "
        f"`{card['digest']}`. Its stages:\n",
        *(f"{index}. {text}" for index, text in enumerate(card["stages"], 1)),
        "",
    ]
    if "data" in weights:
        epoch = f", epoch {weights['epoch']}" if "epoch" in weights else ""
        lines.append(f"Trained on {weights['data']} by archbench{epoch}.")
        recipe = weights.get("recipe", {})
        inner = [value for value in recipe.values() if isinstance(value, Mapping)]
        if told := [text for fields in (recipe, *inner) for text in recipe_fields(fields)]:
            lines.append(f"Recipe: {', '.join(told)}.")
    elif "source" in weights:
        lines.append(f"Its weights come from {weights['source'].get('file', 'another library')}.")
    else:
        lines.append("**Its weights are fresh: it is not trained.**")
    if accuracy := card["accuracy"]:
        lines.append(f"Accuracy: {_accuracy(accuracy)} of {_where(accuracy)}.")
    return "\n".join(lines)


def _accuracy(found: Mapping[str, Any]) -> str:
    """A share with its 95 % interval."""
    low, high = (100 * found[end] for end in ("low", "high"))
    return f"{number.percent(found['value'])} ({low:.1f}–{high:.1f} %)"


def _where(found: Mapping[str, Any]) -> str:
    return f"{found['num_images']:,} held-out images of {found['data']}"


def _table(card: Card) -> str:
    lines = [
        "| format | file | MB | batch | difference | same answers | latency, ms | accuracy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in card["artifacts"]:
        compared, latency = one["compared"], one["latency"]
        same = number.NOT_THERE
        if compared["agreement"] is not None:
            same = f"{number.percent(compared['agreement'])} of {compared['num_images']}"
        ms, verdict = number.NOT_THERE, ""
        if latency:
            ms = number.with_interval(latency["value"], latency["low"], latency["high"])
            verdict = f" ({latency['verdict']})" if latency["verdict"] != "stable" else ""
        cells = (
            f"{one['format']} {one['precision']}",
            f"`{one['folder']}/{one['files'][0]}`",
            f"{one['bytes'] / 1e6:.1f}",
            "any" if one["batch"] is None else one["batch"],
            f"{compared['largest_difference']:.1e}",
            same,
            f"{ms}{verdict}",
            _accuracy(one["accuracy"]) if one["accuracy"] else number.NOT_THERE,
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    notes = [f"- {text}" for one in card["artifacts"] if (text := operators(one))]
    notes += [f"- {note}" for note in remarks(card)]
    environment = card.get("environment") or {}
    threads = {one["conditions"]["threads"] for one in card["artifacts"]}
    lines += [
        "",
        "The difference is the largest one of the outputs from the network's own in PyTorch, over "
        "the largest output; latency is that of one batch, with its 95 % interval, on "
        f"{environment.get('cpu', 'this machine')}, {', '.join(map(str, sorted(threads)))} "
        "thread(s).",
        *([""] if notes else []),
        *notes,
    ]
    return "\n".join(lines)


def operators(one: Mapping[str, Any]) -> str:
    """How many operators the runtime of an artifact took, and how many it left outside, in words.

    Empty where the runtime does not tell.
    """
    found = one["operators"]
    if "operators_outside" not in found:
        return ""
    of = f" of {found['operators']}" if "operators" in found else ""
    kinds = f" ({found['outside']})" if "outside" in found else ""
    calls, products = found.get("delegate_calls"), found.get("layers_run_in", "")
    is_told = {part.split()[0] for part in products.split(", ") if part} - {one["precision"]}
    return (
        f"{one['format']} {one['precision']}: {found['operators_outside']}{of} operators{kinds} "
        f"run outside {_INSIDE[one['format']]}"
        + (f", which is called {number.plural(calls, 'time')}" if calls is not None else "")
        + (f"; its products run in {products}" if is_told else "")
    )


def remarks(card: Card) -> list[str]:
    """What else is to be known of each format, once."""
    told = (f"{one['format']}: {note}" for one in card["artifacts"] for note in one["notes"])
    return list(dict.fromkeys(told))


def _images(card: Card) -> str:
    found = card["preparation"]
    return (
        "A picture is turned as its EXIF data say, brought to sRGB and put on white where it is "
        f"transparent. Its short side becomes {found['resize']} pixels (bicubic), of which the "
        f"middle {found['resolution']}x{found['resolution']} are taken. Of each channel, from 0 to "
        f"1, the mean {_numbers(found['mean'])} is subtracted, and the rest divided by "
        f"{_numbers(found['std'])}:\n\n```python\n{_preparing(found)}```"
    )


def _preparing(found: Mapping[str, Any]) -> str:
    resize, side = found["resize"], found["resolution"]
    margin = (resize - side) // 2
    inside = f"[{margin}:{margin + side}, {margin}:{margin + side}]" if margin else ""
    return (
        "import numpy as np\n"
        "from PIL import Image, ImageOps\n\n"
        'image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")\n'
        f"pixels = np.asarray(ImageOps.fit(image, ({resize}, {resize}))){inside} / 255\n"
        f"pixels = (pixels - {_numbers(found['mean'])}) / {_numbers(found['std'])}\n"
        "images = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)\n"
    )


def _numbers(values: list[float]) -> str:
    return f"[{', '.join(f'{value:g}' for value in values)}]"


def _loading(card: Card) -> list[str]:
    """A section for each artifact: how to load it."""
    sections = []
    for one in card["artifacts"]:
        template = _LOADING.get(one["library"] or one["format"])
        if template is None:
            continue
        settings = ", ".join(f"{key}={value!r}" for key, value in one.get("settings", {}).items())
        files = [f"{one['folder']}/{name}" for name in one["files"]]
        is_half = one["precision"] == "fp16"
        code = template.format(
            file=files[0],
            other=files[-1],
            folder=one["folder"],
            kind=one.get("kind", ""),
            half=is_half,
            to_half=".half()" if is_half else "",
            kept="f16" if is_half else "f32",
            settings=settings,
            classes=card["num_classes"],
        )
        if (one["batch"] or 1) > 1:
            code = f"images = images.repeat({one['batch']}, 0)  # it takes so many\n{code}"
        title = f"{one['format']}, {one['precision']}"
        sections.append(f"## Load it: {title}\n\n```python\n{code}print(logits.argmax(1))\n```")
    return sections


def _classes(card: Card) -> str:
    names = card["preparation"]["class_names"]
    if not names:
        return f"{card['num_classes']} classes, whose names are not known."
    return "\n".join(f"- {index}: {name}" for index, name in enumerate(names))
