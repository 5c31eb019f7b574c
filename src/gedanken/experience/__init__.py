"""What happened and was paid for: transitions, episodes, the store that keeps them, and how to look at them."""

from gedanken.experience.codec import Codec
from gedanken.experience.cost import Amounts, Budget, Cost
from gedanken.experience.schema import EpisodeSummary, TransitionArrays
from gedanken.experience.store import Experience
from gedanken.experience.transition import Episode, EpisodeHeader, Outcome, Provenance, Source, Transition

__all__ = [
    "Amounts",
    "Budget",
    "Codec",
    "Cost",
    "Episode",
    "EpisodeHeader",
    "EpisodeSummary",
    "Experience",
    "Outcome",
    "Provenance",
    "Source",
    "Transition",
    "TransitionArrays",
]
