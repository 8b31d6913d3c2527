"""Which latencies does a study know before it measures them: those that the block table tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archbench.command_line import command_line
from archbench.search import events
from archbench.search.settings import Request
from archbench.study import folder

if TYPE_CHECKING:
    from archbench.evaluate.predictor import Predictor
    from archbench.evaluate.target import Target

_ASKED = 32
_ENOUGH = 0.5  # of the candidates: a model of these tells the others'


def predictor(
    request: Request, *, target: Target | None, listener: events.Listener
) -> Predictor | None:
    """What tells candidates' latencies, from the blocks that were stored when the study began.

    Args:
        request: The search, whose study exists.
        target: What latency is taken on, or None.
        listener: Told how much is known, and what would make it more.

    Returns:
        None where no latency is wanted, no table was there, or it tells less than half of some
        candidates.
    """
    path = request.path / folder.BLOCKS
    if target is None or not path.exists():
        return None
    from archbench.evaluate.predictor import stored_predictor

    found, note = stored_predictor(target, path=path)
    if note:
        listener(events.Warned(text=note))
    specs = request.some_candidates(_ASKED)
    share = found.covered(specs)
    told = f"timed blocks tell the latency of {100 * share:.0f} % of the candidates"
    if share < _ENOUGH:
        words = ("archbench", "predict", "--space", request.space_to_type, "--samples", 300)
        more = command_line(*words)
        listener(events.StageChanged(text=f"{told}, too few to go by: {more} times more"))
        return None
    error = 100 * found.mean_error(specs)
    listener(events.StageChanged(text=f"{told} beforehand, to {error:.1f} %"))
    return found
