"""Asking a language model, paid for: tokens are reserved at their worst case, and billed by the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gedanken.agents.llm import Client, Message, Samples
from gedanken.experience.cost import Cost
from gedanken.worlds.ledger import Ledger, digest_of

TOKENS = "tokens"
_PREFIX = "ask/"


@dataclass(frozen=True)
class Charging:
    """A client whose questions go through a ledger.

    A question that brings no answer at all is charged as unknown, in full: what the endpoint bills for it is not known.
    An answer without a count of its tokens is charged at its worst as well.
    """

    client: Client
    ledger: Ledger
    account: str

    def sample(self, messages: Sequence[Message], count: int, *, seed: int | None = None) -> Samples:
        """`count` answers, each paid for.

        Raises:
            BudgetRefused: the budget does not cover the worst case; nothing was asked.
            GedankenError: there is not a single answer.
        """
        # No token is shorter than a byte.
        longest = sum(len(message["content"].encode()) + len(message["role"]) for message in messages)
        worst = longest + self.client.config.max_tokens
        action = f"{_PREFIX}{self._asked()}"
        digest = digest_of({"messages": list(messages), "count": count, "seed": seed})
        self.ledger.reserve(action, digest, Cost({TOKENS: worst * count}), account=self.account)
        try:
            samples = self.client.sample(messages, count, seed=seed)
        except BaseException:
            self.ledger.unknown(action, "there was no answer")
            raise
        used = [answer.usage for answer in samples.answers]
        total = sum(
            worst
            if usage.prompt_tokens is None or usage.completion_tokens is None
            else min(usage.prompt_tokens + usage.completion_tokens, worst)
            for usage in used
        )
        self.ledger.commit(action, Cost({TOKENS: total + worst * len(samples.errors)}), {"answers": len(used)})
        return samples

    def _asked(self) -> int:
        """How many questions were ever asked of this ledger."""
        return sum(
            entry.kind == "reserve" and str(entry.action_id).startswith(_PREFIX) for entry in self.ledger.entries()
        )
