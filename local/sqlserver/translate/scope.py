"""What names mean: sources, columns, and the SQL that a piece of the tree became."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from local.sqlserver.datatypes import SqlType
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.storage import quoted
from local.sqlserver.syntax import tree


@dataclass(frozen=True)
class Bound:
    """SQLite's SQL for an expression, and its type; None is the untyped NULL."""

    sql: str
    type: SqlType | None


@dataclass(frozen=True)
class Source:
    """Something in FROM: what it is called, its columns, its SQL."""

    alias: str
    columns: Sequence[tuple[str, SqlType | None]]
    sql: str
    qualifiers: tuple[str, ...] = ()

    def column_sql(self, name: str) -> str:
        """A column of it."""
        return f"{quoted(self.alias)}.{quoted(name)}"


class Environment(Protocol):
    """What the translation must ask its surroundings."""

    def variable(self, name: str) -> Bound:
        """A variable or parameter."""
        ...

    def table(self, table: tree.Table) -> Source:
        """A table or system view; takes the locks that its hints ask for."""
        ...


@dataclass
class Scope:
    """The sources that an expression can see.

    Attributes:
        sources: those of this query.
        outer: the scope of the query around it.
        expressions: common table expressions in sight, by lower-case name.
        grouped: the GROUP BY expressions where only they and aggregates are allowed; None elsewhere.
        in_aggregate: how many aggregates surround the expression being translated.
    """

    sources: list[Source] = field(default_factory=list)
    outer: Scope | None = None
    expressions: dict[str, Source] = field(default_factory=dict)
    grouped: tuple[frozenset[tree.Node], frozenset[str]] | None = None
    in_aggregate: int = 0

    def resolve(self, parts: tree.NameParts) -> tuple[Bound, Scope]:
        """The column that a name means, and the scope that it was found in.

        Raises:
            SqlError: 207, 209 or 4104.
        """
        scope: Scope | None = self
        *qualifier, name = parts
        bound_qualifier = False
        while scope is not None:
            candidates = [s for s in scope.sources if _matches(s, qualifier)]
            bound_qualifier = bound_qualifier or bool(candidates)
            hits = [
                (source, column, kind)
                for source in candidates
                for column, kind in source.columns
                if column.casefold() == name.casefold()
            ]
            if len(hits) > 1:
                raise SqlError(209, name)
            if hits:
                source, column, kind = hits[0]
                return Bound(source.column_sql(column), kind), scope
            scope = scope.outer
        if qualifier and not bound_qualifier:
            raise SqlError(4104, ".".join(parts))
        raise SqlError(207, name)

    def common_table_expression(self, name: str) -> Source | None:
        """A common table expression by name."""
        scope: Scope | None = self
        while scope is not None:
            if name.casefold() in scope.expressions:
                return scope.expressions[name.casefold()]
            scope = scope.outer
        return None


def _matches(source: Source, qualifier: Sequence[str]) -> bool:
    if not qualifier:
        return True
    wanted = [part.casefold() for part in qualifier]
    if len(wanted) == 1:
        return source.alias.casefold() == wanted[0]
    return [part.casefold() for part in source.qualifiers[-len(wanted) :]] == wanted
