"""One POST of JSON over HTTP, by the standard library: bounded in time and size, silent about the key."""

from __future__ import annotations

import email.utils
import http.client
import json
import math
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Protocol

MOST_BYTES = 8 << 20
"""Of an answer."""
_MOST_OF_AN_ERROR = 1 << 16
_TOLD = 300
"""Characters of an endpoint's complaint that are repeated."""
_CHUNK = 1 << 16


class Failed(Exception):
    """A request without an answer.

    Attributes:
        status: of HTTP; None where it did not come so far.
        passing: whether the same request may succeed later.
        timed_out: whether it was given up.
        retry_after_s: seconds that the endpoint asks to be left alone; None where it does not say.
    """

    def __init__(
        self,
        what: str,
        *,
        status: int | None = None,
        passing: bool = False,
        timed_out: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(what)
        self.status, self.passing, self.timed_out, self.retry_after_s = status, passing, timed_out, retry_after_s


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Because the key would be sent along."""

    def redirect_request(self, *arguments: Any, **keywords: Any) -> None:
        del arguments, keywords


class _Readable(Protocol):
    def read1(self, amount: int, /) -> bytes: ...


def post(url: str, body: Mapping[str, Any], *, key: str, timeout_s: float) -> Any:
    """The JSON that is answered to a JSON.

    Args:
        url: http or https.
        body: plain values.
        key: goes into the request as a bearer token; "" sends none.
        timeout_s: seconds, for all of it.

    Raises:
        Failed: there is no such answer; its words do not hold the key, whatever the endpoint said.
    """
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    deadline = time.monotonic() + timeout_s
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=timeout_s) as response:
            content = _read(response, MOST_BYTES + 1, deadline)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(error, key, deadline) from None
    except TimeoutError:
        raise _silent(timeout_s) from None
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise _silent(timeout_s) from None
        raise Failed(_told(f"{type(reason).__name__}: {reason}", key), passing=True) from None
    if len(content) > MOST_BYTES:
        raise Failed(f"an answer of more than {MOST_BYTES >> 20} MB")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        start = content[:_TOLD].decode("utf-8", "replace")
        raise Failed(_told(f"what is no JSON: {start!r}", key)) from None


def _read(source: _Readable, most: int, deadline: float) -> bytes:
    """At most so many bytes, until a moment: a timeout of urllib's is of each wait and not of all of them."""
    parts, left = [], most
    while left > 0:
        if time.monotonic() > deadline:
            raise TimeoutError
        part = source.read1(min(left, _CHUNK))
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _refused(error: urllib.error.HTTPError, key: str, deadline: float) -> Failed:
    try:
        said = _read(error, _MOST_OF_AN_ERROR, deadline).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        said = ""
    busy = error.code in (408, 429) or error.code >= 500
    return Failed(
        _told(f"HTTP {error.code} {error.reason}: {said}", key),
        status=error.code,
        passing=busy,
        retry_after_s=_retry_after(error.headers.get("Retry-After")) if busy else None,
    )


def _retry_after(value: str | None) -> float | None:
    """Seconds, of a number or a date; None of anything else."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
        seconds = max(seconds, 0.0)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _silent(timeout_s: float) -> Failed:
    return Failed(f"no answer within {timeout_s:g} s", passing=True, timed_out=True)


def _told(what: str, key: str) -> str:
    """On one line, cut, and without the key: some endpoints repeat it."""
    text = " ".join((what.replace(key, "***") if key else what).split())
    return text if len(text) <= _TOLD else text[:_TOLD] + " ..."
