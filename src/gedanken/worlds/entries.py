"""One entry of the ledger: a line of canonical JSON, chained to the one before it by its hash.

A line is `{"hash":"<64 hex digits>",<the rest of the body>`, and the hash is sha256 over the previous entry's hash
followed by the body without its own hash. A verified line therefore vouches for every line before it. The chain has
no key: it shows damage and careless edits, not a forger who rewrites every later line of both files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from gedanken.errors import LedgerError
from gedanken.experience.cost import Cost

Kind = Literal["open", "reserve", "commit", "release", "unknown", "reconcile", "imagined"]
GENESIS = "0" * 64
SCHEMA_VERSION = 1

_HEAD = '{"hash":"'
_BODY_AT = len(_HEAD) + 64 + len('",')


@dataclass(frozen=True)
class Entry:
    """One fact of the log.

    seq: 1, 2, 3, ...; at_ms: wall clock, milliseconds since 1970; session: the open ledger handle that wrote it.
    cost: `reserve` and `unknown`: at most; `commit` and `reconcile`: actual; otherwise empty.
    detail: what else the kind holds: budgets, outcome, reason, count, model id.
    """

    seq: int
    kind: Kind
    at_ms: int
    session: str
    account: str | None = None
    action_id: str | None = None
    digest: str | None = None
    cost: Cost = field(default_factory=Cost)
    detail: Mapping[str, Any] = field(default_factory=dict)
    hash: str = ""


def seal(entry: Entry, previous: str) -> tuple[str, str]:
    """The line and the hash of `entry` behind an entry with the hash `previous`.

    Raises:
        LedgerError: the detail (an outcome, say) cannot be written as JSON.
    """
    fields = {
        "seq": entry.seq,
        "kind": entry.kind,
        "at_ms": entry.at_ms,
        "session": entry.session,
        "account": entry.account,
        "action_id": entry.action_id,
        "digest": entry.digest,
        "cost": dict(entry.cost),
        "detail": entry.detail,
    }
    try:
        body = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LedgerError(
            "An outcome cannot be written into the ledger.",
            given=f"{entry.detail!r}"[:200],
            expected="values that JSON can hold, without NaN and infinity",
            do="pass a summary of plain numbers, text, lists and mappings; nothing was written.",
        ) from error
    digest = _chain(previous, body)
    return f'{_HEAD}{digest}",{body[1:]}', digest


def verified_hash(line: str, previous: str) -> str | None:
    """The hash of `line` if it is a true successor of the entry with the hash `previous`, otherwise None."""
    digest = line[len(_HEAD) : len(_HEAD) + 64]
    if not line.startswith(_HEAD) or line[_BODY_AT - 2 : _BODY_AT] != '",':
        return None
    return digest if _chain(previous, "{" + line[_BODY_AT:]) == digest else None


def parse(line: str) -> Entry:
    """Reads a verified line.

    Raises:
        LedgerError: it is of another schema.
    """
    fields = json.loads(line)
    if fields["kind"] not in get_args(Kind):
        raise LedgerError(
            "The ledger holds a kind of entry that this version does not know.",
            given=fields["kind"],
            expected=", ".join(get_args(Kind)),
            do="open it with the version of gedanken that wrote it.",
        )
    return Entry(**{**fields, "cost": Cost(fields["cost"])})


def _chain(previous: str, body: str) -> str:
    return hashlib.sha256(f"{previous}{body}".encode("utf-8", "surrogatepass")).hexdigest()
