"""Administration: databases, credentials, logins, BACKUP, RESTORE, DBCC."""

from __future__ import annotations

from local.sqlserver.engine.errors import SqlError
from local.sqlserver.syntax import commands, tree
from local.sqlserver.syntax.definitions import DefinitionParser
from local.sqlserver.syntax.tree import Node

_BACKUP_OPTIONS = frozenset(
    [
        "COMPRESSION",
        "NO_COMPRESSION",
        "CHECKSUM",
        "NO_CHECKSUM",
        "DIFFERENTIAL",
        "COPY_ONLY",
        "FORMAT",
        "NOFORMAT",
        "INIT",
        "NOINIT",
        "STATS",
        "NAME",
        "DESCRIPTION",
        "MAXTRANSFERSIZE",
        "BLOCKSIZE",
        "BUFFERCOUNT",
        "NORECOVERY",
        "NO_TRUNCATE",
        "CONTINUE_AFTER_ERROR",
        "STOP_ON_ERROR",
        "SKIP",
        "NOSKIP",
        "MEDIANAME",
        "MEDIADESCRIPTION",
        "CREDENTIAL",
    ]
)
_RESTORE_OPTIONS = frozenset(
    [
        "FILE",
        "MOVE",
        "RECOVERY",
        "NORECOVERY",
        "REPLACE",
        "CHECKSUM",
        "NO_CHECKSUM",
        "STATS",
        "STOPAT",
        "STOPATMARK",
        "STOPBEFOREMARK",
        "MAXTRANSFERSIZE",
        "BLOCKSIZE",
        "BUFFERCOUNT",
        "CONTINUE_AFTER_ERROR",
        "STOP_ON_ERROR",
        "CREDENTIAL",
    ]
)
_VALUED = frozenset(
    [
        "STATS",
        "NAME",
        "DESCRIPTION",
        "MAXTRANSFERSIZE",
        "BLOCKSIZE",
        "BUFFERCOUNT",
        "MEDIANAME",
        "MEDIADESCRIPTION",
        "FILE",
        "STOPAT",
        "STOPATMARK",
        "STOPBEFOREMARK",
        "CREDENTIAL",
    ]
)
_OPPOSITES = (
    ("COMPRESSION", "NO_COMPRESSION"),
    ("CHECKSUM", "NO_CHECKSUM"),
    ("FORMAT", "NOFORMAT"),
    ("INIT", "NOINIT"),
    ("SKIP", "NOSKIP"),
    ("FORMAT", "NOINIT"),
    ("RECOVERY", "NORECOVERY"),
    ("CONTINUE_AFTER_ERROR", "STOP_ON_ERROR"),
    ("STOPAT", "STOPATMARK"),
    ("STOPAT", "STOPBEFOREMARK"),
    ("STOPATMARK", "STOPBEFOREMARK"),
    ("NORECOVERY", "NO_TRUNCATE"),
)
_SWITCHES = frozenset({"ALLOW_SNAPSHOT_ISOLATION", "READ_COMMITTED_SNAPSHOT"})


class AdministrationParser(DefinitionParser):
    """Parses statements about the server and its databases."""

    def create_database(self) -> commands.CreateDatabase:
        """``DATABASE name [ON (…) LOG ON (…)]``."""
        self.expect("DATABASE")
        name = self.name()
        files: dict[str, tuple[str, str]] = {}
        if self.accept("ON"):
            self.accept("PRIMARY")
            files["data"] = self._file()
            if self.accept("LOG"):
                self.expect("ON")
                files["log"] = self._file()
        if self.is_word("COLLATE"):
            self.advance()
            self._collation()
        if self.is_word("FOR") or self.is_word("AS") or self.is_word("WITH"):
            raise SqlError(40517, self.token.word)
        return commands.CreateDatabase(name, files)

    def _file(self) -> tuple[str, str]:
        self.expect_operator("(")
        values: dict[str, str] = {}
        while True:
            option = self.advance().word
            self.expect_operator("=")
            if option == "NAME":
                values[option] = self.string() if self.token.kind in ("string", "nstring") else self.name()
            elif option == "FILENAME":
                values[option] = self.string()
            else:
                raise SqlError(40517, option)
            if not self.accept_operator(","):
                break
        self.expect_operator(")")
        if set(values) != {"NAME", "FILENAME"}:
            raise self.error()
        return values["NAME"], values["FILENAME"]

    def drop_database(self) -> commands.DropDatabase:
        """``DATABASE [IF EXISTS] a, b``."""
        self.expect("DATABASE")
        if_exists = self.accept("IF", "EXISTS")
        names = [self.name()]
        while self.accept_operator(","):
            names.append(self.name())
        return commands.DropDatabase(tuple(names), if_exists)

    def alter_database(self) -> commands.AlterDatabase:
        """``DATABASE name SET … | MODIFY NAME = …``."""
        self.expect("DATABASE")
        name = "" if self.accept("CURRENT") else self.name()
        if self.accept("MODIFY", "NAME"):
            self.expect_operator("=")
            return commands.AlterDatabase(name, "NAME", self.name())
        self.expect("SET")
        option, value = self.advance().word, ""
        if option == "RECOVERY":
            value = self.advance().word
            if value not in ("FULL", "SIMPLE", "BULK_LOGGED"):
                raise self.error()
        elif option in _SWITCHES:
            value = self.advance().word
            if value not in ("ON", "OFF"):
                raise self.error()
        elif option not in (
            "SINGLE_USER",
            "MULTI_USER",
            "RESTRICTED_USER",
            "ONLINE",
            "OFFLINE",
            "READ_ONLY",
            "READ_WRITE",
        ):
            raise SqlError(40517, option or "SET")
        immediate = False
        if self.accept("WITH"):
            immediate = self.accept("ROLLBACK", "IMMEDIATE")
            if not immediate:
                self.expect("NO_WAIT")
        return commands.AlterDatabase(name, option, value, immediate)

    def backup(self) -> commands.Backup:
        """``BACKUP DATABASE|LOG name TO devices [WITH options]``."""
        self.expect("BACKUP")
        log = self.accept("LOG")
        if not log:
            self.expect("DATABASE")
        database = self._name_or_variable()
        if self.is_word("FILE") or self.is_word("FILEGROUP") or self.is_word("READ_WRITE_FILEGROUPS"):
            raise SqlError(40517, self.token.word)
        self.expect("TO")
        devices = self._devices()
        if self.is_word("MIRROR"):
            raise SqlError(40517, "MIRROR TO")
        options, _, _ = self._options("BACKUP", _BACKUP_OPTIONS)
        return commands.Backup(log, database, devices, options)

    def restore(self) -> commands.Restore:
        """``RESTORE DATABASE|LOG name [FROM devices] [WITH options]`` or one of the …ONLY forms."""
        self.expect("RESTORE")
        what = self.advance().word
        database = None
        if what in ("DATABASE", "LOG"):
            database = self._name_or_variable()
        elif what not in ("VERIFYONLY", "HEADERONLY", "FILELISTONLY", "LABELONLY"):
            self.at -= 1
            raise self.error()
        if self.is_word("FILE") or self.is_word("FILEGROUP") or self.is_word("PAGE"):
            raise SqlError(40517, self.token.word)
        devices: tuple[commands.Device, ...] = ()
        if self.accept("FROM"):
            devices = self._devices()
        elif what != "DATABASE":
            raise self.error()
        options, moves, after = self._options("RESTORE", _RESTORE_OPTIONS)
        return commands.Restore(what, database, devices, options, moves, after)

    def _name_or_variable(self) -> Node:
        if self.token.kind == "variable":
            return tree.Variable(self.advance().text.lower())
        return tree.Literal(self.name(), None)

    def _text(self) -> Node:
        """A string literal or a variable."""
        if self.token.kind == "variable":
            return tree.Variable(self.advance().text.lower())
        return tree.Literal(self.string(), None)

    def _devices(self) -> tuple[commands.Device, ...]:
        devices = []
        while True:
            kind = self.advance().word
            if kind not in ("DISK", "URL"):
                raise SqlError(40517, kind or "backup device")
            self.expect_operator("=")
            devices.append(commands.Device(kind, self._text()))
            if not self.accept_operator(","):
                return tuple(devices)

    def _options(
        self, statement: str, known: frozenset[str]
    ) -> tuple[dict[str, Node | None], tuple[tuple[Node, Node], ...], Node | None]:
        options: dict[str, Node | None] = {}
        moves: list[tuple[Node, Node]] = []
        after = None
        if self.accept("WITH"):
            while True:
                option = self.advance().word
                if option not in known:
                    raise SqlError(155, option or self.tokens[self.at - 1].text, statement)
                if option == "MOVE":
                    source = self._text()
                    self.expect("TO")
                    moves.append((source, self._text()))
                else:
                    if option in options:
                        raise SqlError(3031, option, option)
                    options[option] = self._option_value(option)
                    if option in ("STOPATMARK", "STOPBEFOREMARK") and self.accept("AFTER"):
                        after = self._text()
                if not self.accept_operator(","):
                    break
        for one, other in _OPPOSITES:
            if one in options and other in options:
                raise SqlError(3031, one, other)
        return options, tuple(moves), after

    def _option_value(self, option: str) -> Node | None:
        if option not in _VALUED:
            return None
        if option == "STATS" and not self.is_operator("="):
            return tree.Literal(10, None)
        self.expect_operator("=")
        if self.token.kind == "number":
            return tree.Literal(self.integer(), None)
        return self._text()

    def check_database(self) -> commands.CheckDatabase:
        """``DBCC CHECKDB [(name)] [WITH …]``."""
        self.expect("DBCC")
        command = self.advance()
        if command.word != "CHECKDB":
            raise SqlError(40510, f"DBCC {command.text}")
        database = None
        if self.accept_operator("("):
            database = self.string() if self.token.kind in ("string", "nstring") else self.name()
            self.expect_operator(")")
        options = set()
        if self.accept("WITH"):
            while True:
                option = self.advance().word
                if option not in ("NO_INFOMSGS", "ALL_ERRORMSGS", "PHYSICAL_ONLY", "TABLOCK", "TABLERESULTS"):
                    raise SqlError(155, option, "DBCC")
                options.add(option)
                if not self.accept_operator(","):
                    break
        return commands.CheckDatabase(database, frozenset(options))

    def credential(self, action: str) -> commands.Credential:
        """``CREDENTIAL name [WITH IDENTITY = '…', SECRET = '…']``."""
        self.expect("CREDENTIAL")
        name = self.name()
        if action == "DROP":
            return commands.Credential(action, name)
        self.expect("WITH", "IDENTITY")
        self.expect_operator("=")
        identity, secret = self.string(), ""
        if self.accept_operator(","):
            self.expect("SECRET")
            self.expect_operator("=")
            secret = self.string()
        return commands.Credential(action, name, identity, secret)

    def login(self, action: str) -> commands.Login:
        """``LOGIN name [WITH PASSWORD = '…' [, DEFAULT_DATABASE = …, CHECK_POLICY = OFF]]``."""
        self.expect("LOGIN")
        name = self.name()
        if action == "DROP":
            return commands.Login(action, name)
        self.expect("WITH", "PASSWORD")
        self.expect_operator("=")
        password, database = self.string(), "master"
        while self.accept_operator(","):
            option = self.advance().word
            self.expect_operator("=")
            if option == "DEFAULT_DATABASE":
                database = self.name()
            elif option in ("CHECK_POLICY", "CHECK_EXPIRATION"):
                self.expect("OFF")
            else:
                raise SqlError(40517, option)
        return commands.Login(action, name, password, database)
