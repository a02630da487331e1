"""What the engine yields while it answers a request; the protocol turns each event into tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from local.sqlserver.datatypes import SqlType

type Column = tuple[str, SqlType]

INFORMATION_LIMIT = 10  # severities up to 10 are information, above are errors


@dataclass(frozen=True)
class Message:
    """An error or an informational message.

    ``step`` gives it a DONE of its own, as BACKUP and RESTORE do: the client then sees it while they run.
    """

    number: int
    text: str
    severity: int = 16
    state: int = 1
    line: int = 1
    step: bool = False

    @property
    def is_error(self) -> bool:
        """Whether clients must treat it as a failure."""
        return self.severity > INFORMATION_LIMIT


@dataclass(frozen=True)
class Rows:
    """A result set; the rows may be produced while they are sent."""

    columns: Sequence[Column]
    rows: Iterable[Sequence[Any]]


@dataclass(frozen=True)
class Done:
    """The end of a statement without a result set; ``rows`` is what it affected, if it counts rows."""

    rows: int | None = None


@dataclass(frozen=True)
class DatabaseChanged:
    """The session's current database is another one now."""

    old: str
    new: str


@dataclass(frozen=True)
class TransactionChanged:
    """A transaction began (``begin``) or ended (``commit``, ``rollback``)."""

    what: str


type Event = Message | Rows | Done | DatabaseChanged | TransactionChanged


class Cancelled(Exception):  # noqa: N818 -- a request to stop, not an error
    """The client sent an ATTENTION, went away, or the session was killed."""
