"""The server as a whole: its databases, logins, credentials, sessions and where it keeps them."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from local.sqlserver.engine import database as databases
from local.sqlserver.engine.database import Database, FileInfo, State
from local.sqlserver.engine.errors import SqlError, message
from local.sqlserver.engine.events import Event, Message
from local.sqlserver.engine.faults import Faults
from local.sqlserver.engine.functions import Functions
from local.sqlserver.engine.history import History
from local.sqlserver.engine.interpreter import Interpreter
from local.sqlserver.engine.locks import LockManager
from local.sqlserver.engine.logins import ADMINISTRATOR, SYSTEM_USER, Logins
from local.sqlserver.engine.permissions import Permissions
from local.sqlserver.engine.procedures import Procedures
from local.sqlserver.engine.session import Identity, Session, Variable
from local.sqlserver.engine.views import Views

if TYPE_CHECKING:
    from local.sqlserver.protocol.login import Login

log = logging.getLogger(__name__)

VERSIONS = {"2022": (16, 0, 4135, 4), "2025": (17, 0, 1000, 7)}
FIRST_USER_SPID = 51


class LoginRefusedError(Exception):
    """A login failed; the messages say why."""

    def __init__(self, *messages: Message) -> None:
        super().__init__(messages[0].text)
        self.messages = messages


@dataclass(frozen=True)
class Options:
    """How the server was started.

    Attributes:
        data_dir: everything that it keeps.
        release: ``2022`` or ``2025``.
        slow: seconds that every 10 percent of a backup or restore takes at least.
        utc_offset: minutes by which the server's local time is ahead of UTC.
    """

    data_dir: Path
    release: str = "2022"
    slow: float = 0.0
    utc_offset: int = 0


class Instance:
    """One running server."""

    def __init__(self, options: Options, password: str) -> None:
        self.options = options
        self.name = "STANDIN"
        self.release = VERSIONS[options.release]
        self.zone = dt.timezone(dt.timedelta(minutes=options.utc_offset))
        self.faults = Faults(options.slow)
        self.locks = LockManager()
        self.functions = Functions(self)
        self.views = Views(self)
        self.procedures = Procedures(self)
        self._interpreter = Interpreter(self)
        self._lock = threading.RLock()
        self._sessions: dict[int, Session] = {}
        self._spids = itertools.count(FIRST_USER_SPID)
        self._register_path = options.data_dir / "register.json"
        self._databases: dict[str, Database] = {}
        self.credentials: dict[str, dict[str, Any]] = {}
        self._next_id = len(databases.SYSTEM_NAMES) + 1
        self.default_data = options.data_dir / "data"
        self.default_data.mkdir(parents=True, exist_ok=True)
        self.permissions = Permissions(self)
        self.logins = Logins(password, self._load())
        self.save()
        self.history = History(self)
        self._start_databases()

    # --- what the server is

    @property
    def version(self) -> tuple[int, int, int]:
        """Major, minor and build number."""
        return self.release[:3]

    @property
    def version_text(self) -> str:
        """What @@VERSION says; it does not pretend to be Microsoft's program."""
        number = ".".join(map(str, self.release))
        return (
            f"Microsoft SQL Server {self.options.release} - {number} (X64) \n\t"
            "Stand-in for local use, not Microsoft's server"
        )

    def property(self, name: str | None) -> Any:
        """SERVERPROPERTY; None for an unknown property, as on the real server."""
        known: dict[str, Any] = {
            "productversion": ".".join(map(str, self.release)),
            "productmajorversion": str(self.release[0]),
            "productlevel": "RTM",
            "edition": "Developer Edition (64-bit)",
            "engineedition": 3,
            "machinename": self.name,
            "servername": self.name,
            "instancename": None,
            "collation": "SQL_Latin1_General_CP1_CI_AS",
            "instancedefaultdatapath": str(self.default_data) + "/",
            "instancedefaultlogpath": str(self.default_data) + "/",
            "instancedefaultbackuppath": str(self.options.data_dir / "backup"),
            "isclustered": 0,
            "ishadrenabled": 0,
            "isintegratedsecurityonly": 0,
        }
        return known.get((name or "").lower())

    def clock(self) -> dt.datetime:
        """Now, in UTC."""
        return dt.datetime.now(dt.UTC) + self.faults.clock_shift

    def local_now(self) -> dt.datetime:
        """Now, as the server's own clock shows it."""
        return self.clock().astimezone(self.zone)

    # --- the register

    def _load(self) -> Mapping[str, Any]:
        """Read the register, or begin one; returns the logins in it."""
        if not self._register_path.exists():
            for number, name in enumerate(databases.SYSTEM_NAMES, start=1):
                self._new_database(name, number, model="FULL" if name == "model" else "SIMPLE")
            return {}
        raw = json.loads(self._register_path.read_text())
        self._databases = {s["name"].casefold(): Database(State.from_json(s)) for s in raw["databases"]}
        self.credentials = raw["credentials"]
        self._next_id = raw["next_id"]
        logins: dict[str, Any] = raw["logins"]
        return logins

    def save(self) -> None:
        """Write the register; a crash leaves the old one or the new one."""
        with self._lock:
            raw = {
                "databases": [d.as_json() for d in self._databases.values()],
                "credentials": self.credentials,
                "logins": self.logins.as_json(),
                "next_id": self._next_id,
            }
            temporary = self._register_path.with_suffix(".new")
            temporary.touch(mode=0o600)
            temporary.write_text(json.dumps(raw))
            temporary.replace(self._register_path)

    def _start_databases(self) -> None:
        for database in self._databases.values():
            if database.state.state != databases.ONLINE:
                continue
            try:
                database.redo()
            except apsw.Error as error:
                log.exception("database %s is suspect", database.name)
                database.state.state = databases.SUSPECT
                log.debug("%s", error)

    # --- databases

    def all_databases(self) -> list[Database]:
        """Every database, by number."""
        with self._lock:
            return sorted(self._databases.values(), key=lambda d: d.id)

    def find(self, name: str | None) -> Database | None:
        """A database by name, or None."""
        with self._lock:
            return self._databases.get((name or "").casefold())

    def by_id(self, number: int | None) -> Database | None:
        """A database by number, or None."""
        return next((d for d in self.all_databases() if d.id == number), None)

    def database(self, name: str) -> Database:
        """A database by name.

        Raises:
            SqlError: 911, there is none.
        """
        found = self.find(name)
        if found is None:
            raise SqlError(911, name)
        return found

    def file_owner(self, path: str) -> Database | None:
        """The database that a file belongs to."""
        wanted = str(Path(path))
        return next(
            (
                d
                for d in self.all_databases()
                if wanted in (str(Path(d.state.data.path)), str(Path(d.state.log.path)))
            ),
            None,
        )

    def create_database(
        self, name: str, files: Mapping[str, tuple[str, str]], owner: str = ADMINISTRATOR
    ) -> Database:
        """Make a new, empty database; it takes its recovery model from ``model``.

        Raises:
            SqlError: 1801 the name is taken, 5170 a file exists.
        """
        with self._lock:
            if self.find(name):
                raise SqlError(1801, name)
            model = self.database("model").state.recovery_model
            database = self._new_database(name, self.take_id(), model=model, files=files)
            database.state.owner = owner
            self.save()
            return database

    def take_id(self) -> int:
        """A number for a new database."""
        with self._lock:
            number = self._next_id
            self._next_id += 1
            return number

    def _new_database(
        self, name: str, number: int, *, model: str, files: Mapping[str, tuple[str, str]] | None = None
    ) -> Database:
        data, log_file = self.default_files(name)
        chosen = files or {}
        data = FileInfo(*chosen["data"]) if "data" in chosen else data
        log_file = FileInfo(*chosen["log"]) if "log" in chosen else log_file
        for file in (data, log_file):
            if Path(file.path).exists():
                raise SqlError(5170, file.path)
            if not Path(file.path).parent.is_dir():
                raise SqlError(5133, file.path, "2(The system cannot find the file specified.)")
        state = State(number, name, data, log_file, self.clock().isoformat(), recovery_model=model)
        database = Database(state)
        database.create_files()
        self._databases[name.casefold()] = database
        return database

    def default_files(self, name: str) -> tuple[FileInfo, FileInfo]:
        """Logical names and paths for a database that was given none."""
        safe = "".join(c if c.isalnum() or c in "-_ ." else "_" for c in name)
        data, log_file = self.default_data / f"{safe}.mdf", self.default_data / f"{safe}_log.ldf"
        return FileInfo(name, str(data)), FileInfo(f"{name}_log", str(log_file))

    def add(self, database: Database) -> None:
        """Take in a database that a restore made."""
        with self._lock:
            self._databases[database.name.casefold()] = database
            self.save()

    def drop(self, database: Database) -> None:
        """Remove a database and its files."""
        with self._lock:
            del self._databases[database.name.casefold()]
            self.save()
        database.delete_files()

    def rename(self, database: Database, name: str) -> None:
        """Give a database another name.

        Raises:
            SqlError: 1801, the name is taken.
        """
        with self._lock:
            if self.find(name) not in (None, database):
                raise SqlError(1801, name)
            del self._databases[database.name.casefold()]
            database.state.name = name
            self._databases[name.casefold()] = database
            self.save()

    # --- sessions and logins

    def connect(self, login: Login) -> Session:
        """Log a client in.

        Raises:
            LoginRefusedError: 18456 for a wrong name or password, 4060 for a database that cannot be opened.
        """
        failed = message(18456, login.user)
        if login.integrated or not self.logins.admits(login.user, login.password):
            raise LoginRefusedError(failed)
        session = self.new_session(Identity(login.user, login.application, login.host))
        database = login.database or self.logins.known(login.user).default_database
        try:
            for _ in session.change_database(database):
                pass
        except SqlError:
            session.close()
            raise LoginRefusedError(message(4060, database), failed) from None
        return session

    def new_session(self, identity: Identity) -> Session:
        """A session, for a client or for the server's own work."""
        with self._lock:
            spid = next(self._spids)
            session = Session(self, spid, identity)
            self._sessions[spid] = session
            return session

    @contextlib.contextmanager
    def internal_session(self) -> Iterator[Session]:
        """A session for the server's own work, for as long as the block lasts."""
        session = Session(self, 0, Identity(SYSTEM_USER))
        try:
            yield session
        finally:
            session.close()

    def forget(self, session: Session) -> None:
        """A session has ended."""
        with self._lock:
            self._sessions.pop(session.spid, None)

    def sessions(self) -> list[Session]:
        """The sessions of all clients."""
        with self._lock:
            return list(self._sessions.values())

    def session(self, spid: int) -> Session | None:
        """A client's session by number."""
        with self._lock:
            return self._sessions.get(spid)

    def sessions_using(self, database: Database) -> list[Session]:
        """The sessions whose current database this is."""
        return [
            s for s in self.sessions() if s.database.casefold() == database.name.casefold() and not s.killed
        ]

    # --- running statements

    def interpret(self, session: Session, text: str, variables: Mapping[str, Variable]) -> Iterator[Event]:
        """Run a batch for a session."""
        return self._interpreter.run(session, text, variables)

    def call(self, session: Session, procedure: str, arguments: Sequence[Variable]) -> Iterator[Event]:
        """Run a procedure for a session."""
        return self.procedures.call(session, procedure, arguments)
