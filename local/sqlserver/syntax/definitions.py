"""Data definition: tables, indexes, schemas."""

from __future__ import annotations

from local.sqlserver.engine.errors import SqlError
from local.sqlserver.syntax import tree
from local.sqlserver.syntax.queries import QueryParser
from local.sqlserver.syntax.tree import Node


class DefinitionParser(QueryParser):
    """Parses CREATE, ALTER and DROP of the objects in a database."""

    def create_table(self) -> tree.CreateTable:
        """``TABLE name (columns and constraints)``."""
        self.expect("TABLE")
        table = self.dotted_name()
        self.expect_operator("(")
        columns, constraints = self._elements(closing=")")
        self.expect_operator(")")
        if self.accept("ON"):
            self.name()  # the filegroup: there is one
        return tree.CreateTable(table, columns, constraints)

    def _elements(self, closing: str) -> tuple[tuple[tree.ColumnDefinition, ...], tuple[Node, ...]]:
        columns: list[tree.ColumnDefinition] = []
        constraints: list[Node] = []
        while True:
            if (
                self.is_word("CONSTRAINT")
                or self.is_word("PRIMARY")
                or self.is_word("UNIQUE")
                or self.is_word("FOREIGN")
            ):
                constraints.append(self._table_constraint())
            elif self.is_word("CHECK") or self.is_word("INDEX"):
                raise SqlError(40517, self.token.word)
            else:
                self._column(columns, constraints)
            if not self.accept_operator(",") or (closing and self.is_operator(closing)):
                return tuple(columns), tuple(constraints)

    def _column(self, columns: list[tree.ColumnDefinition], constraints: list[Node]) -> None:
        name = self.name()
        if self.is_word("AS"):
            raise SqlError(40517, "computed column")
        kind = self.data_type()
        nullable: bool | None = None
        default: Node | None = None
        default_name, default_text = None, ""
        identity = None
        while True:
            constraint = self.name() if self.accept("CONSTRAINT") else None
            if self.accept("NOT", "NULL"):
                nullable = False
            elif self.accept("NULL"):
                nullable = True
            elif self.accept("IDENTITY"):
                identity = self._identity()
            elif self.accept("COLLATE"):
                self._collation()
            elif self.accept("DEFAULT"):
                start = self.token.start
                default, default_name = self.expression(), constraint
                default_text = self.text[start : self.token.start].strip()
            elif self.is_word("PRIMARY") or self.is_word("UNIQUE"):
                key = self._key(constraint, (name,))
                nullable = False if key.kind == "PRIMARY KEY" else nullable
                constraints.append(key)
            elif self.is_word("REFERENCES") or self.is_word("FOREIGN"):
                self.accept("FOREIGN", "KEY")
                constraints.append(self._references(constraint, (name,)))
            elif constraint or self.is_word("CHECK"):
                raise SqlError(40517, self.token.word or self.token.text)
            else:
                break
        columns.append(
            tree.ColumnDefinition(name, kind, nullable, default, default_name, default_text, identity)
        )

    def _collation(self) -> None:
        """Only the server's own collation is known."""
        name = self.name()
        if name.lower() not in ("sql_latin1_general_cp1_ci_as", "database_default"):
            raise SqlError(40517, f"COLLATE {name}")

    def _identity(self) -> tuple[int, int]:
        if not self.accept_operator("("):
            return 1, 1
        seed = self.integer()
        self.expect_operator(",")
        step = self.integer()
        self.expect_operator(")")
        return seed, step

    def _table_constraint(self) -> Node:
        name = self.name() if self.accept("CONSTRAINT") else None
        if self.accept("FOREIGN", "KEY"):
            return self._references(name, self.name_list())
        if self.is_word("CHECK") or self.is_word("DEFAULT"):
            raise SqlError(40517, self.token.word)
        return self._key(name, ())

    def _key(self, name: str | None, columns: tuple[str, ...]) -> tree.KeyDefinition:
        kind = "UNIQUE"
        if self.accept("PRIMARY", "KEY"):
            kind = "PRIMARY KEY"
        else:
            self.expect("UNIQUE")
        if not self.accept("CLUSTERED"):
            self.accept("NONCLUSTERED")
        if not columns:
            columns = tuple(column for column, _ in self._index_columns())
        self._index_options()
        return tree.KeyDefinition(kind, name, columns)

    def _index_options(self) -> None:
        """``WITH (…)`` tunes storage that this server does not have."""
        if self.is_word("WITH") and self.ahead().text == "(":
            raise SqlError(40517, "WITH")

    def _index_columns(self) -> tuple[tuple[str, bool], ...]:
        self.expect_operator("(")
        columns = []
        while True:
            name = self.name()
            descending = self.accept("DESC")
            if not descending:
                self.accept("ASC")
            columns.append((name, descending))
            if not self.accept_operator(","):
                break
        self.expect_operator(")")
        return tuple(columns)

    def _references(self, name: str | None, columns: tuple[str, ...]) -> tree.ForeignKeyDefinition:
        self.expect("REFERENCES")
        target = self.dotted_name()
        target_columns = self.name_list() if self.is_operator("(") else ()
        actions = {"DELETE": "NO ACTION", "UPDATE": "NO ACTION"}
        while self.accept("ON"):
            event = self.advance().word
            if event not in actions:
                raise self.error()
            actions[event] = self._action()
        return tree.ForeignKeyDefinition(
            name, columns, target, target_columns, actions["DELETE"], actions["UPDATE"]
        )

    def _action(self) -> str:
        if self.accept("CASCADE"):
            return "CASCADE"
        if self.accept("SET", "NULL"):
            return "SET NULL"
        self.expect("NO", "ACTION")
        return "NO ACTION"

    def alter_table(self) -> tree.AlterTable:
        """``TABLE name ADD …`` or ``TABLE name DROP …``."""
        self.expect("TABLE")
        table = self.dotted_name()
        if self.is_word("WITH"):
            raise SqlError(40517, "WITH CHECK")
        if self.accept("ADD"):
            columns, constraints = self._elements(closing="")
            return tree.AlterTable(table, columns, constraints)
        if self.accept("DROP", "COLUMN"):
            return tree.AlterTable(table, drop_columns=(self.name(),))
        if self.accept("DROP"):
            self.accept("CONSTRAINT")
            return tree.AlterTable(table, drop_constraints=(self.name(),))
        raise SqlError(40510, f"ALTER TABLE {self.token.text}")

    def create_index(self, *, unique: bool) -> tree.CreateIndex:
        """``INDEX name ON table (columns) [INCLUDE (…)] [WHERE …]``."""
        if not self.accept("CLUSTERED"):
            self.accept("NONCLUSTERED")
        self.expect("INDEX")
        name = self.name()
        self.expect("ON")
        table = self.dotted_name()
        columns = self._index_columns()
        if self.accept("INCLUDE"):
            self.name_list()  # covering columns change nothing that can be seen
        where = self.condition() if self.accept("WHERE") else None
        self._index_options()
        return tree.CreateIndex(name, table, columns, unique, where)

    def drop_index(self) -> tree.DropIndex:
        """``INDEX [IF EXISTS] name ON table``."""
        self.expect("INDEX")
        if_exists = self.accept("IF", "EXISTS")
        name = self.name()
        self.expect("ON")
        return tree.DropIndex(name, self.dotted_name(), if_exists)

    def drop_table(self) -> tree.DropTable:
        """``TABLE [IF EXISTS] a, b``."""
        self.expect("TABLE")
        if_exists = self.accept("IF", "EXISTS")
        tables = [self.dotted_name()]
        while self.accept_operator(","):
            tables.append(self.dotted_name())
        return tree.DropTable(tuple(tables), if_exists)

    def create_schema(self) -> tree.CreateSchema:
        """``SCHEMA name [AUTHORIZATION owner]``."""
        self.expect("SCHEMA")
        name = self.name()
        owner = self.name() if self.accept("AUTHORIZATION") else None
        return tree.CreateSchema(name, owner)

    def drop_schema(self) -> tree.DropSchema:
        """``SCHEMA [IF EXISTS] name``."""
        self.expect("SCHEMA")
        if_exists = self.accept("IF", "EXISTS")
        return tree.DropSchema(self.name(), if_exists)
