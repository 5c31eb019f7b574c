"""The room of the vector robots: Gymnasium's MuJoCo and classic control worlds, one unit of `steps` a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from gedanken.errors import WorldError
from gedanken.worlds.world import World, make_env

# Of MuJoCo's warnings, those after which it has put the robot back to its start by itself: position, velocity and
# acceleration with NaN, Inf or a huge value.
_DIVERGED = ("mjWARN_BADQPOS", "mjWARN_BADQVEL", "mjWARN_BADQACC")


def make(
    name: str, *, prices: Mapping[str, int] | None = None, env: Mapping[str, Any] | None = None, **options: Any
) -> World:
    """Makes a robot's world.

    Args:
        name: a Gymnasium id, such as "Hopper-v5".
        prices: whole minor units per step and resource; by default one of `steps`. Resets are free. Whether a task
            was done is not known in these worlds.
        env: options of `gymnasium.make`.
        **options: options of `World`.

    Raises:
        ConfigError: Gymnasium cannot make it.
    """
    made = make_env(name, **(env or {}))
    if hasattr(made.unwrapped, "model") and hasattr(made.unwrapped, "data"):
        _keep_mujoco_quiet()
        made = Diverging(made)
    return World(made, prices if prices is not None else {"steps": 1}, name=name, **options)


class Diverging(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Refuses the answers of a MuJoCo simulation that has diverged.

    MuJoCo then resets the robot in the middle of an episode and goes on; only a warning tells.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        import mujoco  # type: ignore[import-untyped,unused-ignore]

        gym.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self.data: Any = env.get_wrapper_attr("data")
        self._diverged = tuple(int(getattr(mujoco.mjtWarning, name)) for name in _DIVERGED)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        answer = super().step(action)
        counts = self.data.warning.number
        if any(counts[index] for index in self._diverged):
            raise WorldError(
                "The simulation diverged, and MuJoCo put the robot back to its start.",
                given=", ".join(n for n, index in zip(_DIVERGED, self._diverged, strict=True) if counts[index]),
                expected="finite positions, velocities and accelerations",
                do="use smaller actions or a smaller time step; the episode is closed.",
            )
        return answer


def _keep_mujoco_quiet() -> None:
    """Keeps MuJoCo from writing MUJOCO_LOG.TXT into the working directory and its warnings to the terminal.

    Nothing is hidden by this: the warnings that matter become errors (see `Diverging`).
    """
    import mujoco  # type: ignore[import-untyped,unused-ignore]

    log = mujoco.MjLogConfig.get()
    log.logto_file = log.logto_console = False
    log.set()
