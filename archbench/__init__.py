"""Which convolution/attention hybrid to ship: the public functions of archbench.

Importing the package imports nothing else; each name is fetched when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from archbench.lazy import exports

if TYPE_CHECKING:
    from archbench.analysis.pick import pick as pick
    from archbench.analysis.study import StudyReader as StudyReader
    from archbench.analysis.study import insight as insight
    from archbench.analysis.study import open_study as open_study
    from archbench.analysis.wish import Wish as Wish
    from archbench.evaluate.comparison import compare as compare
    from archbench.evaluate.doctor import doctor as doctor
    from archbench.evaluate.profile import profile as profile
    from archbench.evaluate.training import train_network as train_network
    from archbench.models.catalogue import ablation_names as ablation_names
    from archbench.models.catalogue import published as published
    from archbench.models.catalogue import published_names as published_names
    from archbench.models.deployment import deploy as deploy
    from archbench.models.deployment import fold as fold
    from archbench.models.network import build as build
    from archbench.models.network import count as count
    from archbench.models.spec import ArchSpec as ArchSpec
    from archbench.models.weights.hub import fetch_weights as fetch_weights
    from archbench.models.weights.load import convert_weights as convert_weights
    from archbench.models.weights.load import load_weights as load_weights
    from archbench.models.weights.load import save_weights as save_weights
    from archbench.report import write_report as write_report
    from archbench.search import events as events
    from archbench.search.ablation.run import ablate as ablate
    from archbench.search.bayes.cost_aware import CostAwareSampler as CostAwareSampler
    from archbench.search.certificate import certify as certify
    from archbench.search.confirmation import confirm as confirm
    from archbench.search.retraining import retrain as retrain
    from archbench.search.run import search as search
    from archbench.space.space import SearchSpace as SearchSpace

__version__ = "0.2.0"

__all__, __getattr__, __dir__ = exports(__name__)
__all__ += ["__version__"]
