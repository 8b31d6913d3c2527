"""Specs made into networks, and their exact arithmetic."""

from archbench.models.catalogue import ablation_names, paper, published_names
from archbench.models.deployment import deploy, deployment_error
from archbench.models.network import Network, Written, as_spec, build, count
from archbench.models.resolved import ResolvedSpec
from archbench.models.rewrite import proxy
from archbench.models.spec import ArchSpec, HeadSpec, StageSpec, part_fields

__all__ = [
    "ArchSpec",
    "HeadSpec",
    "Network",
    "ResolvedSpec",
    "StageSpec",
    "Written",
    "ablation_names",
    "as_spec",
    "build",
    "count",
    "deploy",
    "deployment_error",
    "paper",
    "part_fields",
    "proxy",
    "published_names",
]
