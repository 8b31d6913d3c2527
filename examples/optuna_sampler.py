"""The sampler of archbench in a study of Optuna's that has nothing to do with networks.

It suits every problem in which one objective is uncertain and expensive, and the others are known
before evaluation. Here a beam is to carry much and weigh little: its strength is found by a (made
up) experiment, its weight is arithmetic.
"""

from __future__ import annotations

import math

import optuna

from archbench import CostAwareSampler


def weight(params: dict[str, float]) -> list[float]:
    """The known objectives, in their order, without the uncertain one."""
    return [float(params["width"] * params["height"])]


def experiment(trial: optuna.Trial) -> tuple[float, float]:
    """Strength and weight of one beam."""
    width = trial.suggest_int("width", 1, 12)
    height = trial.suggest_int("height", 1, 12)
    shape = trial.suggest_categorical("shape", ["solid", "hollow"])
    strength = width * height**2 * (0.8 if shape == "hollow" else 1.0)
    return math.log(strength) + 0.05 * math.sin(7 * width), weight(trial.params)[0]


def main() -> None:
    """Search for the front of strength and weight."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        directions=["maximize", "minimize"],
        sampler=CostAwareSampler(cost=weight, seed=0),
    )
    study.optimize(experiment, n_trials=40)
    print(f"{len(study.best_trials)} of {len(study.trials)} beams are Pareto-optimal")
    for trial in sorted(study.best_trials, key=lambda trial: trial.values[1]):
        print(f"weight {trial.values[1]:5.0f}  strength {trial.values[0]:5.2f}  {trial.params}")


if __name__ == "__main__":
    main()
