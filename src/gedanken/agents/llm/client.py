"""Asks a language model over HTTP: any endpoint that speaks the chat completions protocol, a local one included.

The key stays in the environment: a configuration names the variable, and it is read for each request. It is in no
`repr`, log or error, and redirects are not followed, so it goes nowhere but to the endpoint.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypedDict
from urllib.parse import urlsplit

from gedanken.agents.llm.transport import Failed, post
from gedanken.errors import ConfigError, GedankenError, WorldError, WorldHung

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 120.0
"""Whoever asks for more patience than this is not waited for."""
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_KEY = re.compile(r"[\x21-\x7e]+")


class Message(TypedDict):
    """A part of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Usage(NamedTuple):
    """Tokens that were read and written; None where the endpoint does not say."""

    prompt_tokens: int | None
    completion_tokens: int | None


class Answer(NamedTuple):
    """What came back. cut: whether it ended because it had reached the most tokens."""

    text: str
    usage: Usage
    cut: bool = False


class Samples(NamedTuple):
    """Answers to one question, and the errors in the place of those that did not come."""

    answers: tuple[Answer, ...]
    errors: tuple[GedankenError, ...] = ()


class Sampler(Protocol):
    """Whoever answers a conversation more than once: a `Client`, or something around it that reserves and charges."""

    def sample(self, messages: Sequence[Message], count: int, *, seed: int | None = None) -> Samples:
        """`count` answers.

        Raises:
            GedankenError: there is not a single one.
        """


@dataclass(frozen=True)
class ClientConfig:
    """Where and how a model is asked.

    Attributes:
        base_url: what `/chat/completions` is appended to, such as `http://localhost:8000/v1`.
        model: as the endpoint calls it.
        key_variable: the environment variable that holds the key; "" where none is needed. Never the key itself.
        temperature: of sampling; None leaves it to the endpoint.
        max_tokens: the most that an answer may have.
        tokens_field: what the endpoint calls that; newer ones want `max_completion_tokens`.
        timeout_s: seconds until a request is given up.
        retries: how often more it is tried where the endpoint is busy, broken or silent.
        parallel: requests at a time.
        seeded: whether requests say a seed, which some endpoints refuse.
    """

    base_url: str
    model: str
    key_variable: str = ""
    temperature: float | None = 0.8
    max_tokens: int = 4_096
    tokens_field: str = "max_tokens"
    timeout_s: float = 120.0
    retries: int = 4
    parallel: int = 4
    seeded: bool = True

    def __post_init__(self) -> None:
        # What is wrong with the URL or the variable is not repeated: either may hold a key by mistake.
        try:
            parts = urlsplit(self.base_url)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            sound = False
        if not sound or re.search(r"[\s\x00-\x1f\x7f]", self.base_url):
            raise ConfigError("Not the address of an endpoint.", expected="http://... or https://..., with a host")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ConfigError(
                "The address of an endpoint says more than where it is.",
                given="a user, a password, a query or a fragment",
                do="leave it out, and name the variable that holds the key in `key_variable`.",
            )
        if self.key_variable and not _VARIABLE.fullmatch(self.key_variable):
            raise ConfigError(
                "`key_variable` is no name of an environment variable.",
                expected="capital letters, digits and _",
                do="put the key into the environment, and its variable's name here.",
            )
        if not self.model:
            raise ConfigError("No model is named.", given=repr(self.model), expected="its name at the endpoint")
        numbers = self.max_tokens >= 1 and self.timeout_s > 0 and self.retries >= 0 and self.parallel >= 1
        if not numbers or not (self.temperature is None or 0 <= self.temperature <= 2):
            raise ConfigError(
                "Not a way of asking a model.",
                given=f"temperature={self.temperature}, max_tokens={self.max_tokens}, timeout_s={self.timeout_s}, "
                f"retries={self.retries}, parallel={self.parallel}",
                expected="a temperature from 0 to 2, retries 0 or more, the rest above 0",
            )


@dataclass(frozen=True)
class Client:
    """Asks the endpoint of a configuration. sleep: how seconds are waited."""

    config: ClientConfig
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False, compare=False)

    def complete(self, messages: Sequence[Message], *, seed: int | None = None) -> Answer:
        """One answer.

        Raises:
            ConfigError: the variable of the key is not set, or holds no key.
            WorldHung: the endpoint was silent for too long, each time.
            WorldError: it refused, stayed broken, or answered what is no chat completion.
        """
        config = self.config
        body: dict[str, Any] = {"model": config.model, "messages": list(messages)}
        body[config.tokens_field] = config.max_tokens
        if config.temperature is not None:
            body["temperature"] = config.temperature
        if seed is not None and config.seeded:
            body["seed"] = seed
        return _answer(self._asked(body))

    def sample(self, messages: Sequence[Message], count: int, *, seed: int | None = None) -> Samples:
        """`count` answers, each by a request of its own; `seed` is the first one's, and counted up.

        What was answered is kept where other requests failed, because it is paid for.

        Raises:
            GedankenError: there is not a single answer; the first request's error.
        """
        if count < 1:
            raise ConfigError("No answer is asked for.", given=count, expected="one or more")

        def one(number: int) -> Answer | GedankenError:
            try:
                return self.complete(messages, seed=None if seed is None else seed + number)
            except GedankenError as error:
                return error

        with ThreadPoolExecutor(min(count, self.config.parallel)) as pool:
            found = list(pool.map(one, range(count)))
        answers = tuple(each for each in found if isinstance(each, Answer))
        errors = tuple(each for each in found if isinstance(each, GedankenError))
        if not answers:
            raise errors[0]
        return Samples(answers, errors)

    def _asked(self, body: Mapping[str, Any]) -> Any:
        """The JSON of the endpoint's answer, with retries."""
        config, key = self.config, _key(self.config.key_variable)
        url, tries = config.base_url.rstrip("/") + "/chat/completions", config.retries + 1
        for number in range(tries):
            try:
                return post(url, body, key=key, timeout_s=config.timeout_s)
            except Failed as failure:
                wait = failure.retry_after_s
                patient = wait is None or wait <= _LONGEST_WAIT_S
                if failure.passing and patient and number < config.retries:
                    self.sleep(min(_FIRST_WAIT_S * 2.0**number, _LONGEST_WAIT_S) if wait is None else wait)
                    continue
                kind = WorldHung if failure.timed_out else WorldError
                times = f" ({number + 1} tries)" if number else ""
                # (From nothing: what lies beneath holds the request.)
                raise kind(
                    f"The model's endpoint gave no answer{times}.",
                    given=str(failure) if patient else f"{failure}; it asks to be left alone for {wait:.0f} s",
                    do=_advice(failure, config),
                ) from None
        raise AssertionError("every try returns, raises or goes on")


def _answer(said: Any) -> Answer:
    """What a chat completion says."""
    try:
        choice = said["choices"][0]
        content = choice["message"].get("content")
        if isinstance(content, list):
            content = "".join(_texts(content))
        # A model that used up its tokens on thoughts has no content; that is paid for like any other answer.
        text = "" if content is None else content
        if not isinstance(text, str):
            raise TypeError("the content is no text")
        usage = said.get("usage") or {}
        tokens = Usage(*(_count(usage.get(name)) for name in Usage._fields))
        return Answer(text, tokens, choice.get("finish_reason") == "length")
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise WorldError(
            "The model's endpoint answered what is no chat completion.",
            given=type(error).__name__,
            expected="choices[0].message.content, a text",
        ) from None


def _texts(parts: Iterable[Any]) -> list[str]:
    return [part["text"] for part in parts if part.get("type") == "text"]


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _key(variable: str) -> str:
    if not variable:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError("The key of the model's endpoint is not there.", given=f"{variable} is not set", do="set it.")
    # What is no header would be repeated in the error of whoever sends it.
    if not _KEY.fullmatch(key):
        raise ConfigError(f"{variable} holds no key.", expected="printable ASCII without blanks")
    return key


def _advice(failure: Failed, config: ClientConfig) -> str | None:
    match failure.status:
        case 401 | 403:
            return f"check the key in {config.key_variable}." if config.key_variable else "set `key_variable`."
        case 404:
            return "check `base_url` and `model`."
        case 400 | 422:
            return "the endpoint may want another `tokens_field`, no `temperature` or `seeded` off."
    return "try again later, or raise `timeout_s` or `retries`." if failure.passing else None
