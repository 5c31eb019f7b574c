"""Who plays in a run: the model family, the learner and the agent, named by the configuration or given as objects.

An entry point names a frozen dataclass whose fields are its settings. Those of the built-in ones are sections of
`RunConfig`; those of others lie in `RunConfig.settings`, by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

from gedanken import plugins
from gedanken.agents.contract import Agent
from gedanken.agents.learner import Learner
from gedanken.errors import ConfigError
from gedanken.intermediary.config import RunConfig, build
from gedanken.models.anchored import AnchoredFamily
from gedanken.models.contract import Family

FAMILIES, AGENTS = "gedanken.models", "gedanken.agents"


@dataclass(frozen=True)
class Given:
    """Objects of the user's own, in place of what the configuration names. Opening the run again needs them again.

    agent: acts as it is; nothing is learned but the model.
    """

    agent: Agent | None = None
    learner: Learner | None = None
    family: Family | None = None

    def names(self) -> list[str]:
        """Which parts were given."""
        return [part.name for part in fields(self) if getattr(self, part.name) is not None]


def chosen(config: RunConfig, given: Given) -> tuple[Family, Learner | None]:
    """Who models and who learns: what was given, else what the configuration names. Nobody learns for a given agent.

    Raises:
        ConfigError: as in `family_of` and `learner_of`.
    """
    family = family_of(config) if given.family is None else given.family
    if config.anchors.on:
        family = AnchoredFamily(family, config.anchors.recalibration)
    if given.agent is not None:
        return family, None
    return family, learner_of(config) if given.learner is None else allowed(given.learner, config)


def check_given(begun: Sequence[str], given: Given) -> None:
    """Refuses to go on with other parts than the run was begun with: what was given cannot be stored.

    Raises:
        ConfigError: parts are missing, or there is one more.
    """
    if sorted(begun) != sorted(given.names()):
        raise ConfigError(
            "A run goes on with the objects that it was begun with.",
            given=", ".join(given.names()) or "none",
            expected=" and ".join(f"{name}=" for name in begun) or "none: they are named in its configuration",
            do="open it in Python: gedanken.Intermediary(world, folder=..., and these).",
        )


def family_of(config: RunConfig) -> Family:
    """The model family that `config.family` names, with its settings.

    Raises:
        ConfigError: nobody brings it, it cannot be loaded, or its settings are wrong.
    """
    sections = {"ensemble": {"config": config.model, "fitting": config.fit}}
    return cast(Family, _made(FAMILIES, config.family, "model family", sections, config))


def learner_of(config: RunConfig) -> Learner:
    """The learner that `config.agent` names, with its settings, as the mode allows it.

    Raises:
        ConfigError: nobody brings it, it cannot be loaded, its settings are wrong, or it cannot learn in this mode.
    """
    sections: dict[str, dict[str, Any]] = {
        "value_gradient": {"config": config.value_gradient},
        "sac": {"config": config.sac},
        "icem": {"config": config.icem},
    }
    return allowed(cast(Learner, _made(AGENTS, config.agent, "agent", sections, config)), config)


def allowed(learner: Learner, config: RunConfig) -> Learner:
    """The learner, or where nothing may be imagined, the same on paid steps alone.

    Raises:
        ConfigError: it cannot learn without a model.
    """
    if config.mode not in ("off", "shadow"):
        return learner
    without = learner.model_free()
    if without is None:
        raise ConfigError(
            f"The agent {learner.name!r} learns from imagined steps alone.",
            given=f"mode={config.mode}, agent={learner.name}",
            do="use agent=sac, or a mode from advise on.",
        )
    return without


def _made(group: str, name: str, what: str, sections: dict[str, dict[str, Any]], config: RunConfig) -> Any:
    kind = plugins.load(group, name, what=what)
    if name in sections:
        return kind(**sections[name])
    return build(kind, config.settings.get(name, {}), f"settings.{name}.")
