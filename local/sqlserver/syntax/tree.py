"""The syntax tree of expressions, queries, DML and DDL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local.sqlserver.datatypes import SqlType

type NameParts = tuple[str, ...]


class Node:
    """Anything the parser produces."""


# --- expressions


@dataclass(frozen=True)
class Literal(Node):
    """A constant; the untyped NULL has type None."""

    value: Any
    type: SqlType | None


@dataclass(frozen=True)
class Name(Node):
    """A column, perhaps qualified."""

    parts: NameParts


@dataclass(frozen=True)
class Star(Node):
    """``*`` or ``t.*``."""

    qualifier: NameParts = ()


@dataclass(frozen=True)
class Variable(Node):
    """``@x`` or ``@@x``."""

    name: str


@dataclass(frozen=True)
class Unary(Node):
    """``-x``, ``+x``, ``~x`` or ``NOT x``."""

    operator: str
    operand: Node


@dataclass(frozen=True)
class Binary(Node):
    """Arithmetic, comparison, AND, OR."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class IsNull(Node):
    """``x IS [NOT] NULL``."""

    operand: Node
    negated: bool


@dataclass(frozen=True)
class Like(Node):
    """``x [NOT] LIKE pattern [ESCAPE c]``."""

    operand: Node
    pattern: Node
    escape: Node | None
    negated: bool


@dataclass(frozen=True)
class Between(Node):
    """``x [NOT] BETWEEN low AND high``."""

    operand: Node
    low: Node
    high: Node
    negated: bool


@dataclass(frozen=True)
class In(Node):
    """``x [NOT] IN (items or query)``."""

    operand: Node
    items: tuple[Node, ...]
    query: Query | None
    negated: bool


@dataclass(frozen=True)
class Exists(Node):
    """``EXISTS (query)``."""

    query: Query


@dataclass(frozen=True)
class Subquery(Node):
    """A query used as a value."""

    query: Query


@dataclass(frozen=True)
class Case(Node):
    """``CASE [operand] WHEN … THEN … ELSE … END``."""

    operand: Node | None
    branches: tuple[tuple[Node, Node], ...]
    default: Node | None


@dataclass(frozen=True)
class Call(Node):
    """A function call; ``over`` is (partition by, order by) of a window function."""

    name: str
    arguments: tuple[Node, ...]
    star: bool = False
    distinct: bool = False
    over: tuple[tuple[Node, ...], tuple[Ordering, ...]] | None = None


@dataclass(frozen=True)
class Cast(Node):
    """CAST, CONVERT and their TRY_ forms."""

    operand: Node
    type: SqlType
    style: Node | None = None
    forgiving: bool = False


@dataclass(frozen=True)
class Collate(Node):
    """``x COLLATE name``."""

    operand: Node
    collation: str


# --- queries


@dataclass(frozen=True)
class Ordering(Node):
    """One item of ORDER BY."""

    operand: Node
    descending: bool = False


@dataclass(frozen=True)
class Item(Node):
    """One item of a select list; ``variable`` for ``@x = …``."""

    operand: Node
    alias: str | None = None
    variable: str | None = None


@dataclass(frozen=True)
class Table(Node):
    """A table, view, common table expression or (with arguments) table function by name."""

    parts: NameParts
    alias: str | None = None
    hints: frozenset[str] = frozenset()
    arguments: tuple[Node, ...] | None = None


@dataclass(frozen=True)
class Derived(Node):
    """``(query) AS alias (columns)``."""

    query: Query
    alias: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class ValuesTable(Node):
    """``(VALUES (…), (…)) AS alias (columns)``."""

    rows: tuple[tuple[Node, ...], ...]
    alias: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Join(Node):
    """INNER, LEFT, RIGHT, FULL or CROSS."""

    kind: str
    left: Node
    right: Node
    on: Node | None


@dataclass(frozen=True)
class Select(Node):
    """One SELECT without ORDER BY."""

    items: tuple[Item, ...]
    distinct: bool = False
    top: Node | None = None
    source: Node | None = None
    where: Node | None = None
    group_by: tuple[Node, ...] = ()
    having: Node | None = None


@dataclass(frozen=True)
class SetOperation(Node):
    """UNION, UNION ALL, EXCEPT, INTERSECT."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Query(Node):
    """A whole query: common table expressions, body, order, paging."""

    body: Node
    expressions: tuple[tuple[str, tuple[str, ...], Query], ...] = ()
    order_by: tuple[Ordering, ...] = ()
    offset: Node | None = None
    fetch: Node | None = None


# --- data modification


@dataclass(frozen=True)
class SelectStatement(Node):
    """A query as a statement."""

    query: Query


@dataclass(frozen=True)
class Insert(Node):
    """INSERT: rows of expressions, a query, or DEFAULT VALUES (neither). None in a row is DEFAULT."""

    table: Table
    columns: tuple[str, ...]
    rows: tuple[tuple[Node | None, ...], ...] = ()
    query: Query | None = None
    output: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Update(Node):
    """UPDATE with an optional FROM."""

    table: Table
    assignments: tuple[tuple[str, Node], ...]
    source: Node | None
    where: Node | None
    output: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Delete(Node):
    """DELETE with an optional FROM; ``top`` limits how many rows go."""

    table: Table
    source: Node | None
    where: Node | None
    output: tuple[Item, ...] = ()
    top: Node | None = None


@dataclass(frozen=True)
class Truncate(Node):
    """TRUNCATE TABLE."""

    table: NameParts


# --- definitions


@dataclass(frozen=True)
class KeyDefinition(Node):
    """PRIMARY KEY or UNIQUE."""

    kind: str
    name: str | None
    columns: tuple[str, ...]


@dataclass(frozen=True)
class ForeignKeyDefinition(Node):
    """FOREIGN KEY … REFERENCES …; ``on_delete`` is NO ACTION, CASCADE or SET NULL."""

    name: str | None
    columns: tuple[str, ...]
    target: NameParts
    target_columns: tuple[str, ...]
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"


@dataclass(frozen=True)
class ColumnDefinition(Node):
    """One column of CREATE TABLE or ALTER TABLE ADD."""

    name: str
    type: SqlType
    nullable: bool | None = None
    default: Node | None = None
    default_name: str | None = None
    default_text: str = ""
    identity: tuple[int, int] | None = None


@dataclass(frozen=True)
class CreateTable(Node):
    """CREATE TABLE."""

    table: NameParts
    columns: tuple[ColumnDefinition, ...]
    constraints: tuple[Node, ...] = ()


@dataclass(frozen=True)
class AlterTable(Node):
    """ALTER TABLE: columns and constraints to add, or one thing to drop."""

    table: NameParts
    columns: tuple[ColumnDefinition, ...] = ()
    constraints: tuple[Node, ...] = ()
    drop_columns: tuple[str, ...] = ()
    drop_constraints: tuple[str, ...] = ()


@dataclass(frozen=True)
class CreateIndex(Node):
    """CREATE [UNIQUE] INDEX; ``where`` makes it filtered."""

    name: str
    table: NameParts
    columns: tuple[tuple[str, bool], ...]
    unique: bool
    where: Node | None = None


@dataclass(frozen=True)
class DropIndex(Node):
    """DROP INDEX name ON table."""

    name: str
    table: NameParts
    if_exists: bool


@dataclass(frozen=True)
class DropTable(Node):
    """DROP TABLE."""

    tables: tuple[NameParts, ...]
    if_exists: bool


@dataclass(frozen=True)
class CreateSchema(Node):
    """CREATE SCHEMA."""

    name: str
    owner: str | None = None


@dataclass(frozen=True)
class DropSchema(Node):
    """DROP SCHEMA."""

    name: str
    if_exists: bool
