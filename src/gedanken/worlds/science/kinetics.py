"""Reactions in flow, computed from their kinetics: experiments anywhere in a design space, with a truth that is known.

`snar_flow`: the aromatic substitution of 2,4-difluoronitrobenzene by pyrrolidine, whose product reacts on; four steps
of second order (Hone, Holmes, Akien, Bourne and Muller 2017, React. Chem. Eng. 2, 103). `coupling_1` to `coupling_5`: a
catalysed reaction with eight catalysts to choose from, side reactions, and a catalyst that is worse above 80 degrees
(Baumgartner, Coley, Reizman, Gao and Jensen 2018, React. Chem. Eng. 3, 301, cases 1 to 5). Constants are those papers'.

Measurements have a relative noise; the reaction's time is what an experiment takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.integrate import solve_ivp

from gedanken.errors import ConfigError
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Categorical, Continuous, Design
from gedanken.worlds.science.experiment import ExperimentEnv, ExperimentWorld, experiment_world
from gedanken.worlds.science.trials import Objective

_GAS = 8.314e-3
"""kJ / (mol K)."""
_ZERO_CELSIUS = 273.15
_TO_STEADY_STATE = 3.0
"""Residence times until what leaves a flow reactor is what its settings make."""

Rates = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Reaction:
    """A reaction that can be computed.

    outlet: a design -> concentrations in mol/L of what leaves. objectives_of: design and concentrations -> [K].
    seconds: how long an experiment takes.
    """

    space: DesignSpace
    objectives: tuple[Objective, ...]
    outlet: Callable[[Design], np.ndarray]
    objectives_of: Callable[[Design, np.ndarray], np.ndarray]
    seconds: Callable[[Design], float]


class ReactionEnv(ExperimentEnv):
    """A reaction as experiments. noise: standard deviation of a measured concentration, as a share of it."""

    def __init__(self, reaction: Reaction, *, noise: float) -> None:
        if not 0 <= noise < 1:
            raise ConfigError("Not a relative noise.", given=noise, expected="0 or more, below 1")
        super().__init__(reaction.space, reaction.objectives)
        self.reaction, self.noise = reaction, noise

    def truth(self, design: Design) -> np.ndarray:
        """[K]: the objectives without noise."""
        return self.reaction.objectives_of(design, self.reaction.outlet(design))

    def measure(self, design: Design, rng: np.random.Generator) -> np.ndarray:
        outlet = self.reaction.outlet(design)
        measured = np.maximum(outlet * (1.0 + self.noise * rng.standard_normal(outlet.shape)), 0.0)
        return self.reaction.objectives_of(design, measured)


def reaction_world(name: str, *, noise: float = 0.01, prices: Mapping[str, int] | None = None) -> ExperimentWorld:
    """A reaction of `REACTIONS` as a world, which charges `experiments` and their `milliseconds`, or `prices`.

    Raises:
        ConfigError: there is no such reaction.
    """
    if name not in REACTIONS:
        raise ConfigError("There is no such reaction.", given=repr(name), expected=", ".join(REACTIONS))
    reaction = REACTIONS[name]()

    def price(design: Design) -> Mapping[str, int]:
        return {"experiments": 1, "reaction_ms": math.ceil(1_000 * reaction.seconds(design))}

    return experiment_world(ReactionEnv(reaction, noise=noise), name, prices if prices is not None else price)


def arrhenius(rate: float, energy: float, celsius: float, reference: float | None = None) -> float:
    """A rate constant at a temperature: `rate` is its value at `reference` degrees, or its limit for infinite heat.

    energy: of activation, in kJ/mol.
    """
    kelvin = celsius + _ZERO_CELSIUS
    above = 1.0 / kelvin - (0.0 if reference is None else 1.0 / (reference + _ZERO_CELSIUS))
    return rate * math.exp(-energy / _GAS * above)


def _integrated(rates: Rates, start: np.ndarray, time: float) -> np.ndarray:
    solved = solve_ivp(lambda _, c: rates(c), (0.0, time), start, method="LSODA", rtol=1e-7, atol=1e-10)
    outlet: np.ndarray = np.maximum(solved.y[:, -1], 0.0)
    return outlet


# --- The aromatic substitution --------------------------------------------------------------------------------------

_MASSES = np.array([159.09, 71.12, 210.21, 210.21, 261.33])
"""g/mol of arene, pyrrolidine, the ortho product (wanted), the para product, and what both become."""
_ETHANOL = 789.0
"""g/L."""


def snar() -> Reaction:
    """Residence time, equivalents, concentration and temperature; space-time yield against waste."""
    space = DesignSpace(
        (
            Continuous("residence_time", 0.5, 2.0, "min"),
            Continuous("equivalents", 1.0, 5.0),
            Continuous("concentration", 0.1, 0.5, "mol/L"),
            Continuous("temperature", 30.0, 120.0, "°C"),
        )
    )
    objectives = (Objective("space_time_yield", "max", "kg/m³/h"), Objective("e_factor", "min", "kg/kg"))

    def outlet(design: Design) -> np.ndarray:
        celsius, arene = float(design["temperature"]), float(design["concentration"])
        # L / (mol min); the paper gives 10^-2 L / (mol s) at 90 degrees.
        constants = ((57.9, 33.3), (2.70, 35.3), (0.865, 38.9), (1.63, 44.8))
        ortho, para, from_ortho, from_para = (0.6 * arrhenius(k, e, celsius, 90.0) for k, e in constants)

        def rates(c: np.ndarray) -> np.ndarray:
            first, second = ortho * c[0] * c[1], para * c[0] * c[1]
            third, fourth = from_ortho * c[1] * c[2], from_para * c[1] * c[3]
            made = first + second
            return np.array([-made, -made - third - fourth, first - third, second - fourth, third + fourth])

        start = np.array([arene, float(design["equivalents"]) * arene, 0.0, 0.0, 0.0])
        return _integrated(rates, start, float(design["residence_time"]))

    def objectives_of(design: Design, c: np.ndarray) -> np.ndarray:
        grams = _MASSES * c  # per litre
        made = max(float(grams[2]), 1e-9)
        waste = (_ETHANOL + float(grams.sum()) - made) / made
        return np.array([60.0 * made / float(design["residence_time"]), min(waste, 1_000.0)])

    return Reaction(space, objectives, outlet, objectives_of, _flow_seconds("residence_time", 60.0))


# --- The catalysed coupling -----------------------------------------------------------------------------------------

_BARRIERS = {
    1: (0.0, 0.3, 0.3, 0.7, 0.7, 2.2, 3.8, 7.3),
    2: (0.0, 0.0, 0.3, 0.7, 0.7, 2.2, 3.8, 7.3),
    3: (0.0, 0.3, 0.3, 0.7, 0.7, 2.2, 3.8, 7.3),
    4: (0.0, 0.3, 0.3, 0.7, 0.7, 2.2, 3.8, 7.3),
    5: (-5.0, 0.3, 0.3, 0.7, 0.7, 2.2, 3.8, 7.3),
}
"""kJ/mol that each of eight catalysts adds to the barrier. In case 5 the first is the best until 80 degrees."""
_FIRST, _SECOND = 0.167, 0.250
"""mol/L of both educts."""


def coupling(case: int) -> Reaction:
    """Catalyst, its concentration, time and temperature; yield and turnover number."""
    space = DesignSpace(
        (
            Categorical("catalyst", tuple(f"catalyst {number}" for number in range(1, 9))),
            Continuous("catalyst_concentration", 0.000835, 0.004175, "mol/L"),
            Continuous("time", 60.0, 600.0, "s"),
            Continuous("temperature", 30.0, 110.0, "°C"),
        )
    )
    objectives = (Objective("yield", "max", "%"), Objective("turnover", "max", "mol/mol"))

    def outlet(design: Design) -> np.ndarray:
        celsius, catalyst = float(design["temperature"]), float(design["catalyst_concentration"])
        number = int(str(design["catalyst"]).split()[-1]) - 1
        barrier = _BARRIERS[case][number]
        if case == 5 and number == 0:
            barrier += 0.3 * max(celsius - 80.0, 0.0)
        root = math.sqrt(catalyst)
        wanted = root * arrhenius(3.1e7, 55.0 + barrier, celsius)
        decay = root * arrhenius(1e12, 100.0, celsius) if case == 3 else 0.0
        onward = root * arrhenius(3.1e5, 50.0, celsius) if case == 4 else 0.0

        def rates(c: np.ndarray) -> np.ndarray:
            made, lost, further = wanted * c[0] * c[1], decay * c[1], onward * c[1] * c[2]
            return np.array([-made, -made - lost - further, made - further])

        return _integrated(rates, np.array([_FIRST, _SECOND, 0.0]), float(design["time"]))

    def objectives_of(design: Design, c: np.ndarray) -> np.ndarray:
        return np.array([100.0 * c[2] / _FIRST, c[2] / float(design["catalyst_concentration"])])

    return Reaction(space, objectives, outlet, objectives_of, _flow_seconds("time", 1.0))


def _flow_seconds(name: str, unit: float) -> Callable[[Design], float]:
    return lambda design: _TO_STEADY_STATE * unit * float(design[name])


REACTIONS: Mapping[str, Callable[[], Reaction]] = {
    "snar_flow": snar,
    **{f"coupling_{case}": (lambda case=case: coupling(case)) for case in _BARRIERS},  # type: ignore[misc]
}
"""By the name of their world."""
