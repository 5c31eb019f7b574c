"""Language models: how they are asked, and how a program is taken out of what they answer."""

from gedanken.agents.llm.answers import program_of
from gedanken.agents.llm.client import Answer, Client, ClientConfig, Message, Sampler, Samples, Usage

__all__ = ["Answer", "Client", "ClientConfig", "Message", "Sampler", "Samples", "Usage", "program_of"]
