"""Specs made into networks, and their exact arithmetic."""

from typing import TYPE_CHECKING

from archbench.lazy import exports

if TYPE_CHECKING:
    from archbench.models.catalogue import ablation_names as ablation_names
    from archbench.models.catalogue import published_names as published_names
    from archbench.models.deployment import Deployed as Deployed
    from archbench.models.deployment import deploy as deploy
    from archbench.models.deployment import deployment_error as deployment_error
    from archbench.models.deployment import fold as fold
    from archbench.models.network import Network as Network
    from archbench.models.network import Written as Written
    from archbench.models.network import as_spec as as_spec
    from archbench.models.network import build as build
    from archbench.models.network import count as count
    from archbench.models.rewrite import proxy as proxy
    from archbench.models.spec import ArchSpec as ArchSpec
    from archbench.models.weights.hub import fetch_weights as fetch_weights
    from archbench.models.weights.load import Converted as Converted
    from archbench.models.weights.load import convert_weights as convert_weights
    from archbench.models.weights.load import describe_weights as describe_weights
    from archbench.models.weights.load import load_weights as load_weights
    from archbench.models.weights.load import save_weights as save_weights

__all__, __getattr__, __dir__ = exports(__name__)
