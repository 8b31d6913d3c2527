"""The validation accuracy of the proxy training."""

from archbench.study.objective import Objective

OBJECTIVE = Objective(
    name="proxy_accuracy",
    label="proxy accuracy",
    direction="max",
    source="training",
    description="validation accuracy, 0 to 1, of the proxy training: at its last rung, mean over "
    "seeds",
    unit="share",
    shown_in="%",
    scale=0.01,
    rank=0,
)
