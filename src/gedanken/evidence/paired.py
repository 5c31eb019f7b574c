"""Which of two policies is better in the world, and by how much?

Both are run from the same starts or seeds, in the world and in the model. The luck of the start cancels in the
differences of their returns, and what the model says of these differences is used as in `prediction_powered`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from numpy.typing import ArrayLike

from gedanken.errors import ConfigError
from gedanken.evidence.prediction_powered import Bounds, PolicyValue, check_bounds, flat, prediction_powered

Both = tuple[ArrayLike, ArrayLike]
"""Returns of the first and of the second policy, in the same order of starts."""


@dataclass(frozen=True)
class PolicyComparison:
    """The answer.

    Attributes:
        difference: first minus second, by three ways of looking at it.
        better: for whom the whole prediction-powered interval speaks; `None` where it holds 0 or is missing.
    """

    difference: PolicyValue
    better: Literal["first", "second"] | None

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


def compare_policies(
    *,
    real: Both,
    imagined: Both,
    more_imagined: Both,
    seed: int,
    confidence: float = 0.95,
    bounds: Bounds | None = None,
) -> PolicyComparison:
    """Compares two policies on shared starts.

    Args:
        real: ([n], [n]) real returns of the first and of the second policy from the same n starts.
        imagined: ([n], [n]) imagined returns from these starts.
        more_imagined: ([N], [N]) imagined returns from N other starts, shared by both as well.
        seed, confidence: as in `prediction_powered`.
        bounds: what the real returns of either policy cannot leave.

    Raises:
        ConfigError: the two policies have different counts, or as in `prediction_powered`.
    """
    differences = []
    for name, (first, second) in (("real", real), ("imagined", imagined), ("more imagined", more_imagined)):
        one, other = flat(first, name), flat(second, name)
        if len(one) != len(other):
            raise ConfigError(
                "Two policies are compared start by start.",
                given=f"{len(one)} and {len(other)} {name} returns",
                expected="as many of the first as of the second, from the same starts",
            )
        if name == "real" and bounds is not None:
            check_bounds(one, bounds)
            check_bounds(other, bounds)
        differences.append(one - other)
    widest = None if bounds is None else (bounds[0] - bounds[1], bounds[1] - bounds[0])
    found = prediction_powered(
        real=differences[0],
        imagined=differences[1],
        more_imagined=differences[2],
        seed=seed,
        confidence=confidence,
        bounds=widest,
    )
    low, high = found.prediction_powered.low, found.prediction_powered.high
    better: Literal["first", "second"] | None = None
    if low is not None and high is not None:
        better = "first" if low > 0.0 else "second" if high < 0.0 else None
    return PolicyComparison(found, better)
