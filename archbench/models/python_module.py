"""How does a network become a Python file that needs torch alone, and computes the same bits?

PyTorch's export tells the operators that the network calls. They are written out in one function
for each embed, block and head, so that the file can be read beside the spec.
"""

import operator
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from archbench.models.network import Network

WEIGHTS = "model.safetensors"
_PIECE = re.compile(r"stages\.\d+(\.embed|\.blocks\.\d+)?|head")
_HEAD = '''\
"""{name}: images (B, 3, {height}, {width}) to logits (B, {classes}).

    model = Model()  # with the weights beside this file
    logits = model(images)

Written by archbench from the operators that the network calls, for inference. It needs torch alone.
"""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

aten = torch.ops.aten


class Model(nn.Module):
    """The network, with the weights of a safetensors file."""

    def __init__(self, path: str | Path = Path(__file__).with_name("{weights}")) -> None:
        super().__init__()
        for name, tensor in read_safetensors(path).items():
            *path_to, leaf = name.split(".")
            home: nn.Module = self
            for part in path_to:
                if not hasattr(home, part):
                    home.add_module(part, nn.Module())
                home = getattr(home, part)
            home.register_buffer(leaf, tensor)

    def forward(self, images: Tensor) -> Tensor:
        w = dict(self.named_buffers())
        with torch.no_grad():
{calls}


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a file, which begins with the length of a JSON header."""
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    kinds = {{"F32": torch.float32, "I64": torch.int64}}
    found = {{}}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            low, high = (start + offset for offset in entry["data_offsets"])
            values = torch.frombuffer(bytearray(data[low:high]), dtype=kinds[entry["dtype"]])
            found[name] = values.reshape(entry["shape"])
    return found
'''


def python_module(network: Network) -> tuple[str, dict[str, Tensor]]:
    """The text of a file, and the tensors of the ``model.safetensors`` that lies beside it.

    It takes any number of images.
    """
    height, width = network.resolution
    example = torch.zeros(2, 3, height, width)
    shapes = ({0: torch.export.Dim("batch")},)
    with torch.no_grad():
        program = torch.export.export(network.eval(), (example,), dynamic_shapes=shapes)
    inputs = {one.arg.name: one.target for one in program.graph_signature.input_specs if one.target}
    nodes = list(program.graph.nodes)
    used = {node.name for node in nodes if node.op == "placeholder" and node.users}
    known = {**program.state_dict, **program.constants}
    tensors = {name: known[name] for key, name in inputs.items() if key in used}
    pieces, calls = _pieces([node for node in nodes if node.op == "call_function"], inputs)
    (output,) = nodes[-1].args[0]
    text = _HEAD.format(
        name=network.spec.name or network.spec.digest,
        height=height,
        width=width,
        classes=network.spec.num_classes,
        weights=WEIGHTS,
        calls=textwrap.indent("\n".join([*calls, f"return {output.name}"]), " " * 12),
    )
    return "\n\n".join([text, *pieces]), tensors


def _pieces(nodes: Sequence[fx.Node], inputs: dict[str, str]) -> tuple[list[str], list[str]]:
    """The functions of consecutive nodes of one embed, block or head; and the calls of them."""
    runs: list[tuple[str, list[fx.Node]]] = []
    for node in nodes:
        name = _piece_of(node) or (runs[-1][0] if runs else "prepared")
        if not runs or runs[-1][0] != name:
            runs.append((name, []))
        runs[-1][1].append(node)
    functions, calls, names = [], [], [name for name, _ in runs]
    for number, (name, run) in enumerate(runs):
        title = name if names.index(name) == number else f"{name}_{number}"
        inside = set(run)
        taken = _names(
            one
            for node in run
            for one in node.all_input_nodes
            if one not in inside and one.name not in inputs
        )
        given = _names(node for node in run if set(node.users) - inside)
        body = [f"{node.name} = {_call(node, inputs)}" for node in run]
        arguments = ", ".join(["w", *taken])
        typed = ", ".join(["w: dict[str, Tensor]", *(f"{one}: Tensor" for one in taken)])
        kind = "Tensor" if len(given) == 1 else f"tuple[{', '.join(['Tensor'] * len(given))}]"
        lines = [*body, f"return {', '.join(given)}"]
        functions.append(
            f"def {title}({typed}) -> {kind}:\n" + textwrap.indent("\n".join(lines), " " * 4) + "\n"
        )
        calls.append(f"{', '.join(given)} = {title}({arguments})")
    return functions, calls


def _names(nodes: Iterable[fx.Node]) -> list[str]:
    return list(dict.fromkeys(node.name for node in nodes))


def _piece_of(node: fx.Node) -> str:
    """The embed, block or head that a node is of, as a name; empty where it is of none."""
    stack = node.meta.get("nn_module_stack") or {}
    found = [_PIECE.fullmatch(str(path)) for path, _ in stack.values()]
    return next((hit[0].replace(".", "_") for hit in reversed(found) if hit), "")


def _call(node: fx.Node, inputs: dict[str, str]) -> str:
    """A node as Python, with torch's operators by their own names."""
    if node.target is operator.getitem:  # one of several outputs
        source, index = node.args
        return f"{_written(source, inputs)}[{index}]"
    target: Any = node.target
    name = target.overloadpacket.__name__
    arguments = [_written(one, inputs) for one in node.args]
    arguments += [f"{key}={_written(value, inputs)}" for key, value in node.kwargs.items()]
    return f"aten.{name}({', '.join(arguments)})"


def _written(value: Any, inputs: dict[str, str]) -> str:
    if isinstance(value, fx.Node):
        return f'w["{inputs[value.name]}"]' if value.name in inputs else value.name
    if isinstance(value, list | tuple):
        return f"[{', '.join(_written(one, inputs) for one in value)}]"
    return repr(value)
