"""Specs made into networks, and their exact arithmetic."""

from archbench.models.catalogue import ablation_names, paper, published_names
from archbench.models.deployment import Deployed, deploy, deployment_error, fold
from archbench.models.network import Network, Written, as_spec, build, count
from archbench.models.resolved import ResolvedSpec
from archbench.models.rewrite import proxy
from archbench.models.spec import ArchSpec, HeadSpec, StageSpec, part_fields
from archbench.models.weights.conversion import Converted, convert_weights, describe_weights
from archbench.models.weights.hub import Fetched, fetch_weights
from archbench.models.weights.load import Loaded, load_weights, save_weights

__all__ = [
    "ArchSpec",
    "Converted",
    "Deployed",
    "Fetched",
    "HeadSpec",
    "Loaded",
    "Network",
    "ResolvedSpec",
    "StageSpec",
    "Written",
    "ablation_names",
    "as_spec",
    "build",
    "convert_weights",
    "count",
    "deploy",
    "deployment_error",
    "describe_weights",
    "fetch_weights",
    "fold",
    "load_weights",
    "paper",
    "part_fields",
    "proxy",
    "published_names",
    "save_weights",
]
