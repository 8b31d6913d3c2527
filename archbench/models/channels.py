"""Which channels does each side of a layer's tensors stand for?

A side is written in words, each the name of some channels. ``heads key`` are those that each head
has of keys; ``heads key+key+value`` are, head by head, its queries, keys and values. What stands
one behind the other has commas: ``heads key, heads key, heads value``. So a side says what has to
stay together when some channels are chosen.

Queries and keys of a head bear one name, ``key``, as a product pairs them. The stream that enters a
part is ``before``, that of its stage ``width``.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple


class Run(NamedTuple):
    """Channels of some names, one name behind the other, for each of the ``heads`` if any."""

    heads: str
    members: tuple[str, ...]


class Channels(NamedTuple):
    """The channels of a part: how many there are by their names, and where they stand.

    ``layers`` gives the sides of the tensors of each layer by its name in the part: outputs, then
    inputs, then any other. A side that is left out or has no words, as those of a kernel, is none
    of channels. What a layer of several modules has counts to it, as the norm behind it.

    Where a layer reads only some channels of the stage's stream, ``width`` says what the stream is
    made of, as in ``width.first, width.rest``.
    """

    sizes: Mapping[str, int]
    layers: Mapping[str, tuple[str, ...]]
    width: str = ""

    def sides(self, tensor: str, *, ndim: int) -> tuple[str, ...]:
        """The sides of a tensor of the part, without words where it belongs to no known layer."""
        layer = tensor
        while layer and layer not in self.layers:
            layer = layer.rpartition(".")[0]
        return (*self.layers.get(layer, ()), *[""] * ndim)[:ndim]

    def length(self, words: str) -> int:
        """How many channels a side has."""
        return sum(
            (self.sizes[run.heads] if run.heads else 1) * sum(self.sizes[n] for n in run.members)
            for run in runs(words)
        )


def within(name: str, layers: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The layers of a module of this name, as those of the part that has it."""
    return {f"{name}.{layer}": sides for layer, sides in layers.items()}


@cache
def runs(side: str) -> tuple[Run, ...]:
    """What a side is made of, in its order; nothing where it has no words."""
    found = []
    for words in filter(None, side.split(", ")):
        heads, _, members = words.rpartition(" ")
        found.append(Run(heads, tuple(members.split("+"))))
    return tuple(found)
