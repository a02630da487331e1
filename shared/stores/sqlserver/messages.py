"""What SQL Server's messages mean to us: number in, one of our errors out.

Classified by message number, and where there is none by SQLSTATE, never by matching prose. A failed BACKUP
or RESTORE answers with several messages, of which 3013 ("… is terminating abnormally") and 3041 only wrap the
one that says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from shared.errors import BackupSystemError, OutcomeUnknownError, SqlServerError
from shared.stores.sqlserver.meanings import Meaning, meaning_of

BACKUP_DONE: Final = 3014
"""BACKUP or RESTORE "successfully processed … pages": the proof that the statement did its work."""

BACKUP_SET_VALID: Final = 3262
"""The proof of RESTORE VERIFYONLY."""

STOP_NOT_REACHED: Final = frozenset({4322, 4329})
"""The log ends before the wanted time (4322) or mark (4329): normal for every log but the last."""

INFORMATION: Final = "01000"
"""The only SQLSTATE of a message that does not mean a failure."""

_WRAPPERS: Final = frozenset({3013, 3041})
_LOST: Final = frozenset({"HYT00", "HYT01", "HY008"})  # time-outs and a cancelled statement
_LONGEST_TEXT: Final = 400


@dataclass(frozen=True)
class Message:
    """One message of the server or of the driver.

    Attributes:
        state: SQLSTATE, five characters.
        number: SQL Server's message number; 0 or an operating system's code when it comes from the driver.
        text: its words, free of secrets.
    """

    state: str
    number: int
    text: str

    @property
    def is_information(self) -> bool:
        """Whether it only tells something."""
        return self.state == INFORMATION


_URL_QUERY = re.compile(r"(https?://[^\s'\"?]+)\?[^\s'\"<>]*")
_KEYWORD = re.compile(
    r"(?i)\b(sig|pwd|password|accountkey|sharedaccesskey|secret|access_?token)\s*=\s*"
    r"(N?'(?:[^']|'')*'|\"[^\"]*\"|\{(?:[^}]|\}\})*\}|[^;&\s'\",)]+)"
)
_DRIVER_PREFIX = re.compile(r"^(?:\[[^\]]*\]\s*)+")
_NUMBER = re.compile(r"\((-?\d+)\)(?= \(SQL\w+\)|; \[|$)")
_MESSAGE_STATE = re.compile(r"\[(\w{5})\] \((-?\d+)\)")


def redact(text: str, *secrets: str) -> str:
    """``text`` without what must not be seen: query strings, passwords, keys and the given ``secrets``."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return _KEYWORD.sub(r"\1=***", _URL_QUERY.sub(r"\1", text))


def from_cursor(entries: Iterable[tuple[str, str]]) -> list[Message]:
    """The messages that pyodbc gathered: pairs like ``('[01000] (3211)', '[…][SQL Server]10 percent …')``."""
    found = []
    for head, text in entries:
        match = _MESSAGE_STATE.search(head)
        state, number = (match[1], int(match[2])) if match else ("HY000", 0)
        found.append(Message(state, number, _plain(text)))
    return found


def from_exception(arguments: tuple[object, ...]) -> list[Message]:
    """The messages in the arguments of a ``pyodbc.Error``: SQLSTATE, then a text that holds the numbers.

    On Linux pyodbc reads the first diagnostic record only; on Windows it joins them all with ``; ``.
    """
    state = str(arguments[0]) if arguments else "HY000"
    text = str(arguments[1]) if len(arguments) > 1 else state
    numbers = [int(number) for number in _NUMBER.findall(text)] or [0]
    return [Message(state if len(state) == 5 else "HY000", number, _plain(text)) for number in numbers]


def error_of(messages: Iterable[Message]) -> BackupSystemError:
    """The error that the messages of a failed statement stand for.

    The first number that is not a wrapper decides; a message of the driver (no number that we know, SQLSTATE
    08S01, HYT00 …) means that the server's answer was lost.
    """
    failures = list(messages)
    telling = [m for m in failures if m.number not in _WRAPPERS] or failures
    for message in telling:
        if found := meaning_of(message.number, message.text):
            return _known(message, found)
    first = telling[0] if telling else Message("HY000", 0, "no message")
    if first.state.startswith("08") or first.state in _LOST:
        return OutcomeUnknownError(
            f"The connection to SQL Server was lost or went silent while a statement ran: {first.text}",
            "The same attempt looks first whether the work was done after all; it is repeated if not.",
        )
    return SqlServerError(
        f"SQL Server answered with message {first.number}: {first.text}",
        first.number,
        "Look the number up in Microsoft's list of database engine errors.",
    )


def known_problem(messages: Iterable[Message]) -> BackupSystemError | None:
    """The error that an informational message stands for, such as 4219, which comes with severity 10."""
    for message in messages:
        if found := meaning_of(message.number, message.text):
            return _known(message, found)
    return None


def _known(message: Message, known: Meaning) -> BackupSystemError:
    text = f"{known.sentence} SQL Server's message {message.number}: {message.text}"
    if issubclass(known.error, SqlServerError):
        return SqlServerError(
            text,
            message.number,
            known.hint,
            code=known.code,
            meaning=known.meaning,
            retryable=known.retryable,
        )
    return known.error(text, known.hint, code=known.code, meaning=known.meaning)


def _plain(text: str) -> str:
    words = redact(_DRIVER_PREFIX.sub("", text)).strip()
    words = re.sub(r"\s*\(-?\d+\)( \(SQL\w+\))?$", "", words)
    return words if len(words) <= _LONGEST_TEXT else words[:_LONGEST_TEXT] + "…"
