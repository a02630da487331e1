"""A database gets another name: how a restored copy is put in service, and what was there is put aside.

``ALTER DATABASE … MODIFY NAME`` is all there is to it; files, identity and history stay. It needs the
database for itself, so everybody is thrown out first, and let in again under the new name.
"""

from __future__ import annotations

from typing import Any

from shared.clock import Clock
from shared.errors import RefusedError, SqlServerError, TargetInTheWayError
from shared.stores.sqlserver import inspection, statements
from shared.stores.sqlserver.connection import Server, Session

TRIES = 5
PAUSE_SECONDS = 1.0
IN_USE = frozenset({5030, 5064, 5070})
"""Message numbers of a database that somebody else has got hold of just now."""


def rename(server: Server, clock: Clock, old: str, new: str) -> dict[str, Any]:
    """Give the database ``old`` the name ``new``, and let everybody in.

    Not safe to repeat blindly: the caller looks first which names there are.

    Returns:
        Evidence: both names, and the statement that undoes it.

    Raises:
        TargetInTheWayError: there is a database ``new``.
        RefusedError: there is no ``old``, or it is not ONLINE.
        SqlServerError: somebody else got hold of it each time, or SQL Server refused for another reason.
    """
    statement = statements.rename(old, new)  # names are refused before anything is sent
    with server.session() as session:
        _demand(session, old, new)
        for number in range(1, TRIES + 1):
            try:
                session.run(statement)
                break
            except SqlServerError as error:
                if error.number not in IN_USE or number == TRIES:
                    open_to_all(session, old)
                    raise
                clock.sleep(PAUSE_SECONDS)
        open_to_all(session, new)
    return {"from": old, "to": new, "undo": statements.rename(new, old)}


def open_to_all(session: Session, database: str) -> None:
    """Let everybody into a database again, if it is there and closed."""
    state = inspection.database_state(session, database)
    if state.state_desc == inspection.ONLINE and state.user_access != "MULTI_USER":
        session.run(statements.multi_user(database))


def _demand(session: Session, old: str, new: str) -> None:
    if inspection.database_state(session, new).exists:
        raise TargetInTheWayError(
            f"There is a database {new} already, so {old} cannot get that name.",
            "Rename or drop it, if it is not needed, and start the same plan again.",
            code="name_taken",
        )
    state = inspection.database_state(session, old).state_desc
    if state != inspection.ONLINE:
        raise RefusedError(
            f"{old} is {state}, so it cannot be renamed.",
            "Bring it online, and start the same plan again.",
            code="not_online",
        )
