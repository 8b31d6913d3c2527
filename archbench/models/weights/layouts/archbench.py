"""Our own layout: the names of ``Network.state_dict()``."""

from archbench.models.weights.layout import WeightLayout

LAYOUT = WeightLayout(
    title="archbench's",
    dialects=("archbench",),
    marks=(r"^stages\.\d+\.(embed|blocks|position|class_token)\b", r"^head\.classifiers\.0\."),
    names={"": ""},
)
