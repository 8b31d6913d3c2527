"""YAML in, SearchSpace out: what is searched and under which conditions."""

from typing import TYPE_CHECKING

from archbench.lazy import exports

if TYPE_CHECKING:
    from archbench.space.axis import Axis as Axis
    from archbench.space.axis import Choices as Choices
    from archbench.space.correspondence import candidate_changes as candidate_changes
    from archbench.space.correspondence import choices_for as choices_for
    from archbench.space.correspondence import condition_changes as condition_changes
    from archbench.space.expression import InfeasibleError as InfeasibleError
    from archbench.space.file import shipped as shipped
    from archbench.space.space import SearchSpace as SearchSpace

__all__, __getattr__, __dir__ = exports(__name__)
