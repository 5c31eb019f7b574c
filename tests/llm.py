"""A language model that is none: a server on loopback that speaks chat completions and answers by script."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Reply:
    """Something other than an answer: a status, headers, raw bytes, a wait before or between the bytes."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    wait_s: float = 0.0
    drip_s: float = 0.0


Scripted = str | Reply | dict[str, Any]
Script = Sequence[Scripted] | Callable[[dict[str, Any]], Scripted]


@dataclass
class Recorded:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def text(self) -> str:
        return "\n".join(message["content"] for message in self.body["messages"])


class FakeLLM:
    """Runs as a context. A list is answered in its order, its last entry again and again; a text becomes an answer."""

    def __init__(self, script: Script) -> None:
        self.requests: list[Recorded] = []
        self._script, self._lock = script, threading.Lock()
        self._ended = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # whoever asked has gone
                    fake._answer(self, body)

            def do_GET(self) -> None:
                with fake._lock:
                    fake.requests.append(Recorded(self.path, dict(self.headers), {"messages": []}))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        with self._lock:
            number = len(self.requests)
            self.requests.append(Recorded(handler.path, dict(handler.headers), body))
            said = self._script(body) if callable(self._script) else self._script[min(number, len(self._script) - 1)]
        reply = said if isinstance(said, Reply) else Reply()
        if reply.wait_s:
            self._ended.wait(reply.wait_s)
        content = reply.body
        if content is None:
            content = json.dumps(said if isinstance(said, dict) else completion(said if isinstance(said, str) else ""))
            content = content.encode()
        handler.send_response(reply.status)
        for name, value in {"Content-Length": str(len(content)), **reply.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        step = 1 if reply.drip_s else max(len(content), 1)
        for start in range(0, len(content), step):
            handler.wfile.write(content[start : start + step])
            handler.wfile.flush()
            if reply.drip_s and self._ended.wait(reply.drip_s):
                return


def completion(text: str, *, finish: str = "stop", tokens: tuple[int, int] | None = (100, 20)) -> dict[str, Any]:
    """The JSON of a chat completion."""
    said: dict[str, Any] = {
        "id": "1",
        "object": "chat.completion",
        "created": int(time.time()),
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
    }
    if tokens is not None:
        said["usage"] = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    return said


def fenced(program: str) -> str:
    """An answer with a program in it."""
    return f"Here is my solution.\n\n```python\n{program}```\n"
