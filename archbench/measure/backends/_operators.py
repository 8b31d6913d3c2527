"""Which operators of a network does a runtime take, and in which precision does it compute them?"""

from collections import Counter
from collections.abc import Callable, Iterable

from torch import Tensor

from archbench.measure.backend import Runnable

Details = dict[str, float | int | str]


def left_outside(operators: Iterable[str], *, total: int | None = None) -> Details:
    """Details of a network of which these operators, by their kinds, were left outside.

    The total is that of all its operators, where it is known.
    """
    kinds = Counter(operators)
    details: Details = {} if total is None else {"operators": total}
    details["operators_outside"] = kinds.total()
    return details | ({"outside": _listed(kinds)} if kinds else {})


def mixed(
    run: Callable[[], object],
    layers: Counter[str],
    *,
    asked: str,
    images: Tensor,
    operators: Details,
) -> Runnable:
    """A network whose layers run in several precisions, named by that of most of them.

    Layers are those with products. Where nothing is known of them, it is the precision asked for.
    """
    return Runnable(
        run=run,
        precision=layers.most_common(1)[0][0] if layers else asked,
        images=images,
        details=operators | ({"layers_run_in": _listed(layers)} if layers else {}),
    )


def _listed(kinds: Counter[str]) -> str:
    return ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items()))
