"""Statements about the server, its databases, credentials, logins and sessions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from local.sqlserver.engine import database as databases
from local.sqlserver.engine.backup import BackupJob
from local.sqlserver.engine.consistency import check_database
from local.sqlserver.engine.database import Database
from local.sqlserver.engine.errors import SqlError, message, unsupported
from local.sqlserver.engine.events import Done, Event, Message
from local.sqlserver.engine.headers import HeaderReader
from local.sqlserver.engine.resolver import Resolver
from local.sqlserver.engine.restore import RestoreJob
from local.sqlserver.engine.security import Security
from local.sqlserver.syntax import commands, tree

if TYPE_CHECKING:
    from local.sqlserver.engine.session import Session, Settings

_DELAY = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3}))?)?")
_IGNORED_SETTINGS = frozenset(  # what they switch is always as every driver sets it
    {"ANSI_NULLS", "ANSI_WARNINGS", "ANSI_PADDING", "ANSI_NULL_DFLT_ON", "QUOTED_IDENTIFIER", "ARITHABORT"}
) | {
    "CONCAT_NULL_YIELDS_NULL",
    "CURSOR_CLOSE_ON_COMMIT",
    "NUMERIC_ROUNDABORT",
    "TEXTSIZE",
    "LANGUAGE",
    "DATEFORMAT",
}

type Evaluate = Callable[[tree.Node], Any]


class Administration:
    """Runs one such statement for a session."""

    def __init__(self, session: Session, evaluate: Evaluate) -> None:
        self._session = session
        self._instance = session.instance
        self._evaluate = evaluate
        self._may = session.instance.permissions

    def run(self, node: tree.Node) -> Iterator[Event]:
        """Run the statement."""
        match node:
            case commands.Backup():
                yield from BackupJob(self._session, node, self._evaluate).run()
            case commands.Restore("DATABASE" | "LOG"):
                yield from RestoreJob(self._session, node, self._evaluate).run()
            case commands.Restore():
                yield from HeaderReader(self._session, node, self._evaluate).run()
            case commands.Use(database):
                yield from self._session.change_database(database)
                yield Message(5701, f"Changed database context to '{self._session.database}'.", 0, 2)
                yield Done()
            case commands.SetOption(option, value):
                self._set(self._session.settings, option, value)
                yield Done()
            case _:
                self._refuse_in_transaction(node)
                yield from self._change(node)
                yield Done()

    def _refuse_in_transaction(self, node: tree.Node) -> None:
        if self._session.transaction is None:
            return
        if isinstance(node, commands.CreateDatabase | commands.DropDatabase | commands.AlterDatabase):
            word = type(node).__name__.removesuffix("Database").upper()
            raise SqlError(226, f"{word} DATABASE")
        if isinstance(node, commands.Kill):
            raise SqlError(6115)

    def _change(self, node: tree.Node) -> Iterator[Event]:
        match node:
            case commands.CreateDatabase(name, files):
                self._may.demand_new_database(self._session)
                self._instance.create_database(name, files, self._session.user)
            case commands.DropDatabase():
                self._drop_databases(node)
            case commands.AlterDatabase():
                yield from self._alter_database(node)
            case commands.Credential():
                self._credential(node)
            case commands.Login():
                self._login(node)
            case commands.User() | commands.Membership() | commands.Permission():
                Security(self._session).run(node)
            case commands.SetIdentityInsert(table, on):
                self._identity_insert(table, on)
            case commands.Kill(spid):
                self._kill(spid)
            case commands.WaitFor(delay):
                self._session.sleep(_seconds(str(self._evaluate(delay))))
            case commands.CheckDatabase():
                yield from check_database(self._session, node)
            case _:
                raise unsupported(type(node).__name__)

    def _set(self, settings: Settings, option: str, value: str) -> None:
        match option:
            case "XACT_ABORT":
                settings.xact_abort = value == "ON"
            case "NOCOUNT":
                settings.nocount = value == "ON"
            case "LOCK_TIMEOUT":
                settings.lock_timeout = int(value)
            case "ISOLATION":
                if (
                    value == "SNAPSHOT"
                    and self._session.transaction
                    and not self._session.transaction.snapshot
                ):
                    raise SqlError(3951, self._session.database)
                settings.isolation = value
            case "IMPLICIT_TRANSACTIONS" if value == "OFF":
                pass
            case _ if option not in _IGNORED_SETTINGS:
                raise SqlError(40517, f"SET {option} {value}")

    # --- databases

    def _others_using(self, database: Database) -> list[Session]:
        return [s for s in self._instance.sessions_using(database) if s is not self._session]

    def _demand_alter(self, database: Database, refusal: SqlError) -> None:
        if not (
            self._may.owns(self._session, database) or self._may.server(self._session, "ALTER ANY DATABASE")
        ):
            raise refusal

    def _drop_databases(self, node: commands.DropDatabase) -> None:
        for name in node.names:
            database = self._instance.find(name)
            if database is None:
                if node.if_exists:
                    continue
                raise SqlError(3701, "drop", "database", name)
            if database.is_system:
                raise SqlError(3708, "drop", "database", name, "database")
            self._demand_alter(database, SqlError(3701, "drop", "database", name))
            if self._instance.sessions_using(database):
                raise SqlError(3702, database.name)
            self._instance.drop(database)

    def _alter_database(self, node: commands.AlterDatabase) -> Iterator[Event]:
        session = self._session
        name = node.name or session.database
        database = self._instance.find(name)
        if database is None:
            raise SqlError(5011, name).followed_by(5069)
        self._demand_alter(database, SqlError(5011, name).followed_by(5069))
        state = database.state
        if state.state == databases.RESTORING or (
            state.state == databases.OFFLINE and node.option not in ("ONLINE", "OFFLINE")
        ):
            raise SqlError(5052, "ALTER DATABASE", state.state).followed_by(5069)
        if (
            database.is_system and node.option not in ("RECOVERY", "ALLOW_SNAPSHOT_ISOLATION")
        ) or name.lower() == "tempdb":
            raise SqlError(5058, node.option, name).followed_by(5069)
        if (
            state.user_access == "SINGLE_USER"
            and self._others_using(database)
            and not node.rollback_immediate
        ):
            raise SqlError(5064, name).followed_by(5069)
        if node.option == "NAME":
            yield from self._rename(database, node.value)
        elif node.option == "RECOVERY":
            self._set_recovery(database, node.value)
        elif node.option in ("SINGLE_USER", "OFFLINE", "READ_ONLY", "READ_WRITE", "MULTI_USER", "ONLINE"):
            self._set_access(database, node)
        elif node.option == "ALLOW_SNAPSHOT_ISOLATION":
            state.snapshot_isolation = node.value == "ON"
        elif node.option == "READ_COMMITTED_SNAPSHOT" and node.value == "ON":
            pass  # readers never wait here, see locks.py
        else:
            raise SqlError(40517, f"{node.option} {node.value}".strip())
        self._instance.save()

    def _rename(self, database: Database, name: str) -> Iterator[Event]:
        if self._others_using(database):
            raise SqlError(5030)
        users = self._instance.sessions_using(database)
        self._instance.rename(database, name)
        for session in users:
            session.database = name
        yield message(5021, "database", name)

    def _set_recovery(self, database: Database, model: str) -> None:
        """Without the full log there is no chain; it begins again with a data backup."""
        state = database.state
        if model == "SIMPLE":
            state.log_start, state.chain_begins = None, True
        state.recovery_model = model
        database.truncate_log()

    def _set_access(self, database: Database, node: commands.AlterDatabase) -> None:
        state = database.state
        others = self._others_using(database)
        if node.option in ("SINGLE_USER", "OFFLINE", "READ_ONLY"):
            if others and not node.rollback_immediate:
                raise SqlError(5070, database.name).followed_by(5069)
            for other in others:
                other.kill()
        match node.option:
            case "SINGLE_USER" | "MULTI_USER":
                state.user_access = node.option
            case "READ_ONLY" | "READ_WRITE":
                state.read_only = node.option == "READ_ONLY"
            case "OFFLINE":
                state.state = databases.OFFLINE
                database.close()
            case "ONLINE":
                state.state = databases.ONLINE

    # --- credentials and sessions

    def _login(self, node: commands.Login) -> None:
        self._may.demand_server(self._session, "ALTER ANY LOGIN")
        if node.action == "CREATE":
            self._instance.logins.create(node.name, node.password, node.default_database)
        else:
            self._instance.logins.drop(node.name)
        self._instance.save()

    def _identity_insert(self, parts: tree.NameParts, on: bool) -> None:
        resolver = Resolver(self._session, {})
        database, table = resolver.find(parts)
        self._may.demand_table(self._session, database, table, "ALTER")
        if not any(column.identity for column in table.columns):
            raise SqlError(8106, ".".join(parts))
        settings = self._session.settings
        if on and settings.identity_insert not in (None, table.storage_name):
            raise SqlError(8107, settings.identity_insert, ".".join(parts))
        settings.identity_insert = table.storage_name if on else None

    def _credential(self, node: commands.Credential) -> None:
        self._may.demand_server(self._session, "ALTER ANY CREDENTIAL")
        credentials = self._instance.credentials
        key = next((name for name in credentials if name.casefold() == node.name.casefold()), None)
        if node.action == "CREATE" and key is not None:
            raise SqlError(15530, node.name)
        if node.action != "CREATE" and key is None:
            raise SqlError(15151, node.action.lower(), "credential", node.name)
        if node.action == "DROP":
            del credentials[key or ""]
        else:
            now = self._instance.local_now().replace(tzinfo=None).isoformat()
            created = credentials[key]["created"] if key else now
            number = credentials[key]["id"] if key else 65536 + len(credentials)
            credentials[key or node.name] = {
                "id": number,
                "identity": node.identity,
                "secret": node.secret,
                "created": created,
                "modified": now,
            }
        self._instance.save()

    def _kill(self, spid: int) -> None:
        if not self._may.server(self._session, "ALTER ANY CONNECTION"):
            raise SqlError(6102)
        if spid == self._session.spid:
            raise SqlError(6104)
        if spid < 1 or spid > 32767:
            raise SqlError(6101, spid)
        other = self._instance.session(spid)
        if other is None:
            raise SqlError(6106, spid)
        other.kill()


def _seconds(delay: str) -> float:
    match = _DELAY.fullmatch(delay.strip())
    if match is None:
        raise SqlError(148, delay)
    hours, minutes, seconds, thousandths = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + thousandths / 1000
