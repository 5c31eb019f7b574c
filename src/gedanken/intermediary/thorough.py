"""What a thorough check asks of the same real episodes: each question compiles a program of its own.

Fidelity ahead (`forecasts`, `rewards`, `endings`), the control with `permuted` actions, whether other `actions` lead
elsewhere as they do in the world, and what the agent is worth in every way there is of estimating it (`estimates`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax import Array

from gedanken.agents.policy import Greedy
from gedanken.evidence.branching import branches_on_record
from gedanken.evidence.counterfactual import ActionEffects, effects_of_branches, effects_of_pairs
from gedanken.evidence.estimators import estimate
from gedanken.evidence.forecasts import score_forecasts
from gedanken.evidence.outcomes import endings_by_horizon
from gedanken.evidence.permuted import permuted_actions
from gedanken.evidence.rewards import reward_by_horizon
from gedanken.experience.transition import Episode
from gedanken.intermediary.run import CHECK, LEARN, Run

QUESTIONS = ("forecasts", "rewards", "endings", "permuted", "actions", "estimates")
_THOROUGH = 9


def ask_more(run: Run, episodes: Sequence[Episode], policy: Greedy | None, *, horizon: int) -> dict[str, Any]:
    """The answers as plain data, by the names in `QUESTIONS`.

    Args:
        run: its model is fitted. Where its record has branches, the effects of actions are read off these.
        episodes: real ones of the agent, which the model was not trained on.
        policy: the agent; None where it cannot be imagined, and then its value is not estimated.
        horizon: of the world.
    """
    asked = (run.model, episodes, run.codec)
    keys, seed = {name: run.key(_THOROUGH, number) for number, name in enumerate(QUESTIONS)}, run.config.seed
    found: dict[str, Any] = {
        "forecasts": score_forecasts(*asked, key=keys["forecasts"], seed=seed).to_json(),
        "rewards": reward_by_horizon(*asked, key=keys["rewards"], seed=seed).to_json(),
        "endings": endings_by_horizon(*asked, key=keys["endings"], seed=seed).to_json(),
        "permuted": permuted_actions(*asked, key=keys["permuted"], seed=seed).to_json(),
        "actions": _effects_of_actions(run, episodes, key=keys["actions"]).to_json(),
    }
    if policy is not None:
        found["estimates"] = estimate(
            list(run.experience.episodes(account=LEARN)),
            policy,
            run.codec,
            horizon=horizon,
            key=keys["estimates"],
            seed=seed,
            real=episodes,
            model=run.model,
        ).to_json()
    return found


def _effects_of_actions(run: Run, episodes: Sequence[Episode], *, key: Array) -> ActionEffects:
    seed, branches = run.config.seed, branches_on_record(run.experience.episodes(account=CHECK))
    if not branches.forks:
        return effects_of_pairs(run.model, episodes, run.codec, key=key, seed=seed)
    return effects_of_branches(run.model, branches, run.codec, key=key, seed=seed)
