"""Against a real server on loopback that answers by script."""

from __future__ import annotations

import email.utils
import json
import time
import traceback
from typing import Any

import pytest

from gedanken.agents.llm import Client, ClientConfig, Message, Usage, transport
from gedanken.errors import ConfigError, GedankenError, WorldError, WorldHung
from tests.llm import FakeLLM, Reply, completion

KEY = "sk-secret-0123456789"
ASKED: list[Message] = [{"role": "user", "content": "What is 2 + 3?"}]


@pytest.fixture(autouse=True)
def the_key_is_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", KEY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def client_of(fake: FakeLLM, waits: list[float] | None = None, **settings: Any) -> Client:
    config = ClientConfig(**{"base_url": fake.base_url, "model": "small", "key_variable": "A_KEY", **settings})
    return Client(config, sleep=(waits if waits is not None else []).append)


def test_a_question_and_its_answer() -> None:
    with FakeLLM(["5"]) as fake:
        answer = client_of(fake, temperature=0.3, max_tokens=7).complete(ASKED, seed=3)
    assert answer.text == "5" and answer.usage == Usage(100, 20) and not answer.cut
    (request,) = fake.requests
    assert request.path == "/v1/chat/completions" and request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.body == {"model": "small", "messages": ASKED, "max_tokens": 7, "temperature": 0.3, "seed": 3}


def test_only_what_is_set_is_sent() -> None:
    with FakeLLM(["5"]) as fake:
        settings = {"key_variable": "", "temperature": None, "tokens_field": "max_completion_tokens", "seeded": False}
        client_of(fake, **settings).complete(ASKED, seed=3)
    (request,) = fake.requests
    assert "Authorization" not in request.headers
    assert request.body == {"model": "small", "messages": ASKED, "max_completion_tokens": 4_096}


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_who_is_busy_is_asked_again_after_longer_and_longer(status: int) -> None:
    waits: list[float] = []
    with FakeLLM([Reply(status), Reply(status), Reply(status), "5"]) as fake:
        assert client_of(fake, waits).complete(ASKED).text == "5"
    assert waits == [0.5, 1.0, 2.0] and len(fake.requests) == 4


def test_the_endpoint_says_how_long_to_wait() -> None:
    waits: list[float] = []
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    busy = [Reply(429, {"Retry-After": value}) for value in ("7", date, "soon", "-1")]
    with FakeLLM([*busy, "5"]) as fake:
        client_of(fake, waits).complete(ASKED)
    assert waits[0] == 7 and waits[1] == pytest.approx(30, abs=3) and waits[2:] == [2.0, 4.0]


def test_nobody_waits_for_an_hour() -> None:
    waits: list[float] = []
    with FakeLLM([Reply(429, {"Retry-After": "3600"})]) as fake, pytest.raises(WorldError, match="3600 s"):
        client_of(fake, waits).complete(ASKED)
    assert waits == [] and len(fake.requests) == 1


def test_retries_end() -> None:
    with FakeLLM([Reply(500, body=b"out of order")]) as fake, pytest.raises(WorldError, match=r"3 tries.*out of order"):
        client_of(fake, retries=2).complete(ASKED)
    assert len(fake.requests) == 3


@pytest.mark.parametrize(("status", "advice"), [(400, "tokens_field"), (401, "A_KEY"), (404, "base_url"), (418, "418")])
def test_a_refusal_is_not_repeated(status: int, advice: str) -> None:
    with FakeLLM([Reply(status)]) as fake, pytest.raises(WorldError, match=advice):
        client_of(fake).complete(ASKED)
    assert len(fake.requests) == 1


@pytest.mark.parametrize("slow", [Reply(wait_s=5.0), Reply(drip_s=0.05)])
def test_silence_and_dripping_are_given_up(slow: Reply) -> None:
    began = time.monotonic()
    with FakeLLM([slow]) as fake, pytest.raises(WorldHung, match=r"2 tries.*within 0.2 s"):
        client_of(fake, timeout_s=0.2, retries=1).complete(ASKED)
    assert time.monotonic() - began < 3 and len(fake.requests) == 2


def test_nobody_listens() -> None:
    with FakeLLM(["5"]) as fake:
        pass
    waits: list[float] = []
    with pytest.raises(WorldError, match="ConnectionRefused"):
        client_of(fake, waits, retries=2).complete(ASKED)
    assert waits == [0.5, 1.0]


@pytest.mark.parametrize(
    "said",
    [
        Reply(body=b"<html>not JSON"),
        Reply(body=b"\xff\xfe\x00"),
        Reply(body=b"[" * 100_000),
        Reply(body=b""),
        Reply(body=b"[]"),
        Reply(body=b"null"),
        {},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"message": "5"}]},
        {"choices": [{"message": {"content": 5}}]},
        {"choices": [{"message": {"content": ["5"]}}]},
        {"choices": [{"message": {"content": "5"}}], "usage": "much"},
    ],
)
def test_what_is_no_completion_is_an_error_that_says_so(said: Any) -> None:
    with FakeLLM([said]) as fake, pytest.raises(WorldError, match=r"no chat completion|no JSON"):
        client_of(fake).complete(ASKED)
    assert len(fake.requests) == 1


def test_a_body_that_does_not_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MOST_BYTES", 1 << 20)
    with FakeLLM([Reply(body=b" " * (2 << 20))]) as fake, pytest.raises(WorldError, match="more than 1 MB"):
        client_of(fake).complete(ASKED)


def test_what_an_endpoint_does_not_say_is_not_known() -> None:
    parts = completion("")
    parts["choices"][0]["message"]["content"] = [{"type": "text", "text": "fi"}, {"type": "text", "text": "ve"}]
    nothing = completion("", finish="length", tokens=None)
    nothing["choices"][0]["message"]["content"] = None
    strange = {**completion("5"), "usage": {"prompt_tokens": -1, "completion_tokens": "20"}}
    with FakeLLM([parts, nothing, strange]) as fake:
        first, second, third = (client_of(fake).complete(ASKED) for _ in range(3))
    assert first.text == "five"
    assert second.text == "" and second.cut and second.usage == Usage(None, None)
    assert third.usage == Usage(None, None)


# --- The key --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        Reply(401, body=f'{{"error": "Incorrect API key provided: {KEY}"}}'.encode()),
        Reply(500, body=("x" * 290 + KEY).encode()),
        Reply(body=f"who sent {KEY}?".encode()),
        Reply(wait_s=1.0),
    ],
)
def test_the_key_is_in_no_error(said: Reply) -> None:
    with FakeLLM([said]) as fake, pytest.raises(GedankenError) as caught:
        client_of(fake, timeout_s=0.2, retries=0).complete(ASKED)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(vars(caught.value))
    assert KEY not in shown and KEY[:12] not in shown


def test_the_key_is_in_no_repr() -> None:
    with FakeLLM(["5"]) as fake:
        client = client_of(fake)
        client.complete(ASKED)
    assert KEY not in repr(client) + repr(client.config) + json.dumps(vars(client.config))


def test_the_key_follows_no_redirect() -> None:
    with FakeLLM(["5"]) as other:
        elsewhere = [Reply(status, {"Location": other.base_url}) for status in (301, 302, 303, 307, 308)]
        with FakeLLM(elsewhere) as fake:
            for reply in elsewhere:
                with pytest.raises(WorldError, match=str(reply.status)):
                    client_of(fake).complete(ASKED)
    assert other.requests == []


def test_a_key_that_is_missing_or_none_is_said_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeLLM(["5"]) as fake:
        monkeypatch.setenv("A_KEY", f"{KEY}\r\nX-Other: 1")
        with pytest.raises(ConfigError, match="A_KEY holds no key") as caught:
            client_of(fake).complete(ASKED)
        assert KEY not in str(caught.value)
        monkeypatch.delenv("A_KEY")
        with pytest.raises(ConfigError, match="A_KEY is not set"):
            client_of(fake).complete(ASKED)
    assert fake.requests == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"key_variable": KEY},
        {"key_variable": "hf_secret"},
        {"base_url": "file:///etc/passwd"},
        {"base_url": "ftp://host/v1"},
        {"base_url": "localhost:8000"},
        {"base_url": "http://"},
        {"base_url": "http://host:port/v1"},
        {"base_url": "http://host/v1\r\nX: 1"},
        {"base_url": f"http://me:{KEY}@host/v1"},
        {"base_url": f"http://host/v1?key={KEY}"},
        {"model": ""},
        {"temperature": -1.0},
        {"max_tokens": 0},
        {"timeout_s": 0.0},
        {"timeout_s": float("nan")},
        {"retries": -1},
        {"parallel": 0},
    ],
)
def test_a_configuration_that_makes_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        ClientConfig(**{"base_url": "http://localhost:1/v1", "model": "small", **wrong})
    assert KEY not in str(caught.value) and "hf_secret" not in str(caught.value)


# --- Many answers ---------------------------------------------------------------------------------------------------


def test_each_sample_is_a_request_with_a_seed_of_its_own() -> None:
    with FakeLLM(lambda body: str(body["seed"])) as fake:
        samples = client_of(fake).sample(ASKED, 5, seed=10)
    assert [answer.text for answer in samples.answers] == ["10", "11", "12", "13", "14"] and samples.errors == ()


def test_what_was_answered_is_kept_where_others_failed() -> None:
    with FakeLLM(lambda body: Reply(400) if body["seed"] == 1 else "5") as fake:
        samples = client_of(fake).sample(ASKED, 3, seed=0)
    assert len(samples.answers) == 2 and "400" in str(samples.errors[0])


def test_no_answer_at_all_is_an_error() -> None:
    with FakeLLM([Reply(400)]) as fake:
        with pytest.raises(WorldError, match="400"):
            client_of(fake).sample(ASKED, 3)
        with pytest.raises(ConfigError):
            client_of(fake).sample(ASKED, 0)
    assert len(fake.requests) == 3
