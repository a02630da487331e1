"""Long statements: BACKUP and RESTORE on a connection of their own, held to the end and proven.

One BACKUP or RESTORE lives on one connection and dies with it. A second connection asks the server how far it
is; so the caller sees progress however seldom the statement itself speaks, and a caller that must not go on
(its lock was lost) stops the statement by raising from its progress function.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType

from shared.errors import BackupSystemError, OutcomeUnknownError
from shared.stores.sqlserver import messages
from shared.stores.sqlserver.connection import PROGRAM, Server, Session
from shared.stores.sqlserver.messages import Message

Progress = Callable[[int], None]
"""Is told percents, 0 to 100, never a smaller one after a greater one, possibly from another thread; an
exception of it stops the work and is raised again by the function that was given it."""

SILENCE_SECONDS = 4 * 3600
"""How long a statement may say nothing. With STATS = 5 it speaks every twentieth of its work; dead
connections are found much sooner by the driver's keep-alive (30 s by default)."""

_POLL_SECONDS = 1.0
_LOOK = "SELECT percent_complete FROM sys.dm_exec_requests WHERE session_id = ?;"
_log = logging.getLogger(__name__)


def run_long(
    server: Server,
    statement: str,
    *,
    proof: int | None,
    progress: Progress,
    program: str = PROGRAM,
) -> list[Message]:
    """Run ``statement`` on its own connection to its end.

    Args:
        server: where.
        statement: one batch with one BACKUP, RESTORE or DBCC CHECKDB.
        proof: the number of the message without which the statement counts as not done; None for one that
            is silent when all is well, whose session must then be the same as before.
        progress: told the percents of this statement.
        program: ``program_name`` of the connection.

    Returns:
        Every message that the server sent.

    Raises:
        OutcomeUnknownError: the connection was lost, or the results ended without the proof.
        BackupSystemError: the server refused; see ``messages.error_of``.
    """
    with server.session(program=program, seconds=SILENCE_SECONDS) as session:
        number = int(session.rows("SELECT @@SPID;")[0][0])
        with _Watcher(server, session, number, progress) as watcher:
            try:
                answer = session.run(statement)
                same = proof is not None or session.rows("SELECT @@SPID;")[0][0] == number
            except BackupSystemError:
                watcher.raise_own()
                raise
        watcher.raise_own()
    if proof is None and same:
        progress(100)
        return answer.messages
    if not any(message.number == proof for message in answer.messages):
        raise messages.known_problem(answer.messages) or OutcomeUnknownError(
            f"SQL Server's answer ended without message {proof}, so the statement may not have been done.",
            "The same attempt looks first whether the work was done after all; it is repeated if not.",
        )
    progress(100)
    return answer.messages


def scaled(progress: Progress, low: int, high: int) -> Progress:
    """``progress`` for a part of the work: 0 to 100 of the part become ``low`` to ``high`` of the whole."""

    def part(percent: int) -> None:
        progress(low + (high - low) * percent // 100)

    return part


def bytes_of(progress: Progress, total: int) -> Callable[[int], None]:
    """A function that is told bytes as they pass (each time the new ones), and passes on whole percents."""
    done = 0
    told = -1

    def add(count: int) -> None:
        nonlocal done, told
        done += count
        percent = min(100, done * 100 // total) if total else 100
        if percent > told:
            told = percent
            progress(percent)

    return add


class _Watcher:
    """A thread that asks a second connection for the percents of a statement, as long as the block lasts."""

    def __init__(self, server: Server, session: Session, number: int, progress: Progress) -> None:
        self._server = server
        self._session = session
        self._number = number
        self._progress = progress
        self._ended = threading.Event()
        self._own: BaseException | None = None
        self._thread = threading.Thread(target=self._watch, name="sqlserver-progress", daemon=True)

    def __enter__(self) -> _Watcher:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def raise_own(self) -> None:
        """Raise what the caller's progress function raised."""
        if self._own is not None:
            raise self._own

    def _watch(self) -> None:
        if self._ended.wait(_POLL_SECONDS):
            return  # most log backups are done by now: no second connection for them
        try:
            with self._server.session(seconds=30) as second:
                self._ask(second)
        except BackupSystemError as error:  # the statement itself is not in danger
            _log.warning("No progress can be shown: %s", error.message)

    def _ask(self, second: Session) -> None:
        highest = -1
        while not self._ended.is_set():
            rows = second.rows(_LOOK, self._number)
            percent = int(rows[0][0] or 0) if rows else highest
            try:
                highest = max(percent, highest, 0)
                self._progress(highest)  # also when nothing moved: the caller beats its heart with it
            except BaseException as error:  # noqa: BLE001 - handed to the caller's own thread, see raise_own
                self._own = error
                self._session.cancel()
                return
            self._ended.wait(_POLL_SECONDS)
