"""What an answer of a Qdrant server means: its error as one of ours, and no secret in it.

Qdrant answers errors as ``{"status": {"error": text}}``, but not everywhere: a missing key, a missing
download and a broken multipart body are plain text, an unknown path is empty (measured on Qdrant 1.16.3 and
1.19.0). The HTTP status decides what an error is; the text only where one status stands for several things.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.errors import (
    BackupSystemError,
    IntegrityError,
    NotPermittedError,
    OutcomeUnknownError,
    QdrantError,
    TargetInTheWayError,
)

TEXT_LIMIT = 600
"""Characters of a server's text that an error carries; a whole proxy page helps nobody."""

MAX_RETRY_AFTER = 60.0
"""Seconds; a server that asks for more gets its answer as an error instead."""

_HIDING = (
    (re.compile(r"(?i)(https?://)[^\s/@\"'<>]+@"), r"\1"),
    (re.compile(r"(?i)(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*"), r"\1?(hidden)"),
    (
        re.compile(
            r"(?i)((?:\b|%3f|%26)(?:sig|signature|api[-_]?key|access[-_]?key|accountkey|token|password|pwd)\b[\"']?\s*"
            r"(?:=|%3d|:)\s*[\"']?)[^\s&\"',;)}]+"
        ),
        r"\1(hidden)",
    ),
    (re.compile(r"(?i)\bbearer\s+\S+"), "Bearer (hidden)"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "(hidden)"),
)


@dataclass(frozen=True)
class Reply:
    """An answer that has been read: its status, the header fields that matter, its body."""

    status: int
    body: bytes
    retry_after: float | None = None

    @property
    def text(self) -> str:
        """The server's own words about an error, not yet redacted; empty if there are none."""
        try:
            parsed = json.loads(self.body)
        except ValueError:
            return self.body.decode("utf-8", "replace").strip()
        status = parsed.get("status") if isinstance(parsed, Mapping) else None
        return str(status["error"]) if isinstance(status, Mapping) and "error" in status else ""


class RateLimitedError(QdrantError):
    """Status 429: the server wants us to wait ``retry_after`` seconds."""

    code = "rate_limited"

    def __init__(self, message: str, hint: str, retry_after: float | None) -> None:
        super().__init__(message, 429, hint, retryable=True)
        self.retry_after = retry_after


def redact(text: str, *secrets: str) -> str:
    """``text`` without URL queries (a SAS is one), signatures, keys and tokens, cut to a readable length."""
    return _shortened(_hidden(text, secrets))


def _hidden(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, "(hidden)")
    for pattern, replacement in _HIDING:
        text = pattern.sub(replacement, text)
    return text


def _shortened(text: str) -> str:
    """The beginning and the end, where servers put what they did and why it failed."""
    if len(text) <= TEXT_LIMIT:
        return text
    half = (TEXT_LIMIT - 3) // 2
    return f"{text[:half]} … {text[-half:]}"


@dataclass(frozen=True)
class _Rule:
    """How one kind of error is recognised, and what the person who reads it is told."""

    status: int
    pattern: str
    error: type[BackupSystemError]
    code: str
    hint: str
    retryable: bool = False

    def matches(self, status: int, text: str) -> bool:
        return status == self.status and re.search(self.pattern, text, re.IGNORECASE) is not None


_RULES = (
    _Rule(401, "", NotPermittedError, "wrong_key", "Check QDRANT_API_KEY and QDRANT_RESTORE_API_KEY."),
    _Rule(
        403, "remote URLs is disabled", QdrantError, "url_recovery_disabled",
        "Set service.enable_snapshot_url_recovery on the server, or let the snapshot be uploaded.",
    ),
    _Rule(
        403, "", NotPermittedError, "not_permitted",
        "A backup needs a key that may write snapshots, a restore one with global manage access.",
    ),
    _Rule(404, "", QdrantError, "missing_on_server", "It was deleted, or never was on this peer."),
    _Rule(
        400, "checksum mismatch", IntegrityError, "checksum_mismatch",
        "The bytes that reached the server are not those that were backed up. Verify the "
        "backup; choose another.",
    ),
    _Rule(
        400, "not compatible with existing collection", TargetInTheWayError, "incompatible_collection",
        "A collection of that name with other vectors or another number of shards is there. "
        "Delete it, or restore under a new name.",
    ),
    _Rule(
        400, "failed to download", QdrantError, "storage_unreachable_from_server",
        "The Qdrant server was refused by the storage account: check its firewall and private endpoints.",
    ),
    _Rule(
        500, "error sending request", QdrantError, "storage_unreachable_from_server",
        "The Qdrant server cannot reach the storage account: check its network, name "
        "service and certificates.",
    ),
    _Rule(
        500, "no space left|os error 28", QdrantError, "no_space",
        "Free space on the peer's volumes, then repeat. Old snapshots are a common reason.",
    ),
    _Rule(
        507, "", QdrantError, "no_space",
        "Free space on the peer's volumes, then repeat. Old snapshots are a common reason.",
    ),
    _Rule(
        413, "", QdrantError, "too_large_for_proxy",
        "A proxy in front of the server limits request bodies: raise its limit, or "
        "address the peer directly.",
    ),
    _Rule(
        500, "failed to unpack|cross-device", QdrantError, "not_unpacked",
        "The snapshot did not arrive whole, or the server's volume is no POSIX file system "
        "(Azure Files is not supported by Qdrant). What was there is unchanged.",
        retryable=True,
    ),
    _Rule(409, "", QdrantError, "name_taken", "Look at the collections and aliases of that name."),
    _Rule(422, "", QdrantError, "refused_by_server", "The server does not accept this name or value."),
    _Rule(408, "", QdrantError, "server_timeout", "The server is overloaded; repeat later.", retryable=True),
    _Rule(503, "", QdrantError, "server_busy", "The server or a shard is not ready; repeat later.",
    retryable=True),
)  # fmt: skip
"""In order; the first that matches counts. Texts as measured on Qdrant 1.16.3 and 1.19.0."""


def error_of(reply: Reply, doing: str, *secrets: str) -> BackupSystemError:
    """The error that ``reply`` stands for.

    Args:
        reply: an answer whose status is not a success.
        doing: what was being done, for a person, without a secret: ``listing snapshots of 'x' on http://…``.
        secrets: texts that must not appear in the error even if the server repeats them.
    """
    text = _hidden(reply.text, secrets)
    said = f"Qdrant answered {reply.status} while {doing}" + (f": {_shortened(text)}" if text else ".")
    if reply.status == 429:
        return RateLimitedError(
            said, "Raise the collection's strict-mode rate limit, or repeat later.", reply.retry_after
        )
    if reply.status in (502, 504):  # a gateway's words: the server itself may have done it
        return OutcomeUnknownError(
            said, "A proxy gave up waiting. Raise its time-out or address the peer directly."
        )
    for rule in _RULES:
        if rule.matches(reply.status, text):
            if issubclass(rule.error, QdrantError):
                return rule.error(said, reply.status, rule.hint, code=rule.code, retryable=rule.retryable)
            return rule.error(said, rule.hint, code=rule.code)
    return QdrantError(said, reply.status, "Look into the server's log at this time.")


def gone(error: BackupSystemError) -> bool:
    """Whether the server said that what was named is not there."""
    return isinstance(error, QdrantError) and error.status == 404
