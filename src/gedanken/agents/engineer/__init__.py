"""Agents that do machine learning engineering: whoever says which program to run next."""

from gedanken.agents.engineer.contract import Engineer, Proposal, Tried
from gedanken.agents.engineer.foreseeing import Foreseeing
from gedanken.agents.engineer.learned_moves import LearnedMoves
from gedanken.agents.engineer.rehearsed import Rehearsed, Rehearsing, train_policy
from gedanken.agents.engineer.search import Evolution, RandomSearch
from gedanken.agents.engineer.writing import Writing

__all__ = [
    "Engineer",
    "Evolution",
    "Foreseeing",
    "LearnedMoves",
    "Proposal",
    "RandomSearch",
    "Rehearsed",
    "Rehearsing",
    "Tried",
    "Writing",
    "train_policy",
]
