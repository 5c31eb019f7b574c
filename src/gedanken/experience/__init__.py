"""What happened and was paid for: transitions, episodes, the store that keeps them, and how to look at them."""

from gedanken.experience.codec import Codec
from gedanken.experience.cost import Amounts, Budget, Cost
from gedanken.experience.curation import curate
from gedanken.experience.findings import Curation
from gedanken.experience.recorder import RecordedEnv, Recorder, record
from gedanken.experience.schema import EpisodeSummary, TransitionArrays
from gedanken.experience.split import is_held_out
from gedanken.experience.store import Experience
from gedanken.experience.transition import Episode, EpisodeHeader, Outcome, Provenance, Source, Transition

__all__ = [
    "Amounts",
    "Budget",
    "Codec",
    "Cost",
    "Curation",
    "Episode",
    "EpisodeHeader",
    "EpisodeSummary",
    "Experience",
    "Outcome",
    "Provenance",
    "RecordedEnv",
    "Recorder",
    "Source",
    "Transition",
    "TransitionArrays",
    "curate",
    "is_held_out",
    "record",
]
