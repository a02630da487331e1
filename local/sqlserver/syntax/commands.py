"""The syntax tree of everything that is not a query, DML or DDL: control flow and administration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from local.sqlserver.datatypes import SqlType
from local.sqlserver.syntax.tree import NameParts, Node


@dataclass(frozen=True)
class Use(Node):
    """USE database."""

    database: str


@dataclass(frozen=True)
class SetOption(Node):
    """SET option value; both in upper case."""

    option: str
    value: str


@dataclass(frozen=True)
class SetIdentityInsert(Node):
    """SET IDENTITY_INSERT table ON or OFF."""

    table: NameParts
    on: bool


@dataclass(frozen=True)
class Declare(Node):
    """DECLARE @a type [= value], …."""

    variables: tuple[tuple[str, SqlType, Node | None], ...]


@dataclass(frozen=True)
class SetVariable(Node):
    """SET @a = value."""

    name: str
    value: Node


@dataclass(frozen=True)
class Block(Node):
    """Statements in sequence."""

    statements: tuple[Node, ...]


@dataclass(frozen=True)
class If(Node):
    """IF condition statement [ELSE statement]."""

    condition: Node
    positive: Node
    negative: Node | None


@dataclass(frozen=True)
class TryCatch(Node):
    """BEGIN TRY … END TRY BEGIN CATCH … END CATCH."""

    body: Block
    handler: Block


@dataclass(frozen=True)
class Return(Node):
    """RETURN."""


@dataclass(frozen=True)
class ExecuteText(Node):
    """EXEC (text)."""

    text: Node


@dataclass(frozen=True)
class ExecuteProcedure(Node):
    """EXEC procedure arguments, or the procedure's name alone at the start of a batch."""

    procedure: NameParts
    arguments: tuple[tuple[str, Node], ...]


@dataclass(frozen=True)
class Print(Node):
    """PRINT value."""

    value: Node


@dataclass(frozen=True)
class Throw(Node):
    """THROW number, text, state; without arguments it raises the caught error again."""

    number: Node | None = None
    text: Node | None = None
    state: Node | None = None


@dataclass(frozen=True)
class RaiseError(Node):
    """RAISERROR (text, severity, state)."""

    text: Node
    severity: Node
    state: Node


@dataclass(frozen=True)
class WaitFor(Node):
    """WAITFOR DELAY 'hh:mm:ss'."""

    delay: Node


@dataclass(frozen=True)
class Kill(Node):
    """KILL session."""

    spid: int


@dataclass(frozen=True)
class BeginTransaction(Node):
    """BEGIN TRANSACTION [name [WITH MARK [description]]]."""

    name: Node | None = None
    mark: bool = False
    description: Node | None = None


@dataclass(frozen=True)
class CommitTransaction(Node):
    """COMMIT."""


@dataclass(frozen=True)
class RollbackTransaction(Node):
    """ROLLBACK."""


@dataclass(frozen=True)
class CreateDatabase(Node):
    """CREATE DATABASE; files by kind (``data``, ``log``): logical name and path."""

    name: str
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class DropDatabase(Node):
    """DROP DATABASE."""

    names: tuple[str, ...]
    if_exists: bool


@dataclass(frozen=True)
class AlterDatabase(Node):
    """ALTER DATABASE name SET option value [WITH ROLLBACK IMMEDIATE | NO_WAIT], or MODIFY NAME = value."""

    name: str
    option: str
    value: str = ""
    rollback_immediate: bool = False


@dataclass(frozen=True)
class Device(Node):
    """One backup device: DISK or URL, and where."""

    kind: str
    address: Node


@dataclass(frozen=True)
class Backup(Node):
    """BACKUP DATABASE or BACKUP LOG; an option without a value has the value None."""

    log: bool
    database: Node
    devices: tuple[Device, ...]
    options: Mapping[str, Node | None]


@dataclass(frozen=True)
class Restore(Node):
    """RESTORE; ``what`` is DATABASE, LOG, VERIFYONLY, HEADERONLY, FILELISTONLY or LABELONLY."""

    what: str
    database: Node | None
    devices: tuple[Device, ...]
    options: Mapping[str, Node | None]
    moves: tuple[tuple[Node, Node], ...] = ()
    after: Node | None = None


@dataclass(frozen=True)
class CheckDatabase(Node):
    """DBCC CHECKDB."""

    database: str | None
    options: frozenset[str]


@dataclass(frozen=True)
class Credential(Node):
    """CREATE, ALTER or DROP CREDENTIAL."""

    action: str
    name: str
    identity: str = ""
    secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class Login(Node):
    """CREATE or DROP LOGIN."""

    action: str
    name: str
    password: str = field(default="", repr=False)
    default_database: str = "master"


@dataclass(frozen=True)
class User(Node):
    """CREATE or DROP USER."""

    action: str
    name: str
    login: str = ""
    if_exists: bool = False


@dataclass(frozen=True)
class Membership(Node):
    """ALTER [SERVER] ROLE role ADD or DROP MEMBER."""

    role: str
    member: str
    server: bool
    add: bool


@dataclass(frozen=True)
class Permission(Node):
    """GRANT, DENY or REVOKE; ``kind`` is OBJECT, SCHEMA, DATABASE or, without ON, empty."""

    action: str
    permissions: tuple[str, ...]
    kind: str
    securable: NameParts
    principals: tuple[str, ...]
