"""The system procedures that drivers and careful clients call."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from local.sqlserver.datatypes import SqlType, nvarchar
from local.sqlserver.engine.columns import columns_of
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.events import Done, Event, Rows
from local.sqlserver.engine.resolver import Resolver
from local.sqlserver.syntax import tree
from local.sqlserver.syntax.batch import parse

if TYPE_CHECKING:
    from local.sqlserver.engine.instance import Instance
    from local.sqlserver.engine.session import Session, Variable

# system_type_id of sys.types.
TYPE_IDS = {
    "uniqueidentifier": 36, "date": 40, "time": 41, "datetime2": 42, "datetimeoffset": 43, "tinyint": 48,
    "smallint": 52, "int": 56, "datetime": 61, "float": 62, "bit": 104, "decimal": 106, "numeric": 108,
    "bigint": 127, "varbinary": 165, "varchar": 167, "binary": 173, "char": 175, "nvarchar": 231,
    "nchar": 239,
}  # fmt: skip
_FIXED_BYTES = {
    "uniqueidentifier": 16,
    "date": 3,
    "time": 5,
    "datetime2": 8,
    "datetimeoffset": 10,
    "tinyint": 1,
}
_FIXED_BYTES |= {
    "smallint": 2,
    "int": 4,
    "datetime": 8,
    "float": 8,
    "bit": 1,
    "bigint": 8,
    "decimal": 17,
    "numeric": 17,
}

# What sp_datatype_info_100 answers for the ODBC types that drivers ask about.
_ODBC_TYPES = {
    -9: ("nvarchar", 4000, "N'", "'"),
    12: ("varchar", 8000, "'", "'"),
    -3: ("varbinary", 8000, "0x", None),
    -2: ("binary", 8000, "0x", None),
    93: ("datetime2", 27, "'", "'"),
}
_ODBC_COLUMNS = columns_of(
    """TYPE_NAME sysname, DATA_TYPE smallint, PRECISION int, LITERAL_PREFIX varchar(32), LITERAL_SUFFIX
    varchar(32), CREATE_PARAMS varchar(32), NULLABLE smallint, CASE_SENSITIVE smallint, SEARCHABLE
    smallint, UNSIGNED_ATTRIBUTE smallint, MONEY smallint, AUTO_INCREMENT smallint, LOCAL_TYPE_NAME
    sysname, MINIMUM_SCALE smallint, MAXIMUM_SCALE smallint, SQL_DATA_TYPE smallint, SQL_DATETIME_SUB
    smallint, NUM_PREC_RADIX int, INTERVAL_PRECISION smallint, USERTYPE smallint"""
)
_UNDECLARED_COLUMNS = columns_of(
    """parameter_ordinal int, name sysname, suggested_system_type_id int, suggested_system_type_name
    nvarchar(256), suggested_max_length smallint, suggested_precision tinyint, suggested_scale tinyint,
    suggested_user_type_id int, suggested_user_type_database sysname, suggested_user_type_schema
    sysname, suggested_user_type_name sysname, suggested_assembly_qualified_type_name nvarchar(4000),
    suggested_xml_collection_id int, suggested_xml_collection_database sysname,
    suggested_xml_collection_schema sysname, suggested_xml_collection_name sysname,
    suggested_is_xml_document bit, suggested_is_case_sensitive bit, suggested_is_fixed_length_clr_type
    bit, suggested_is_input bit, suggested_is_output bit, formal_parameter_name sysname,
    suggested_tds_type_id int, suggested_tds_length int"""
)
_TDS_TYPES = {
    "uniqueidentifier": 36,
    "date": 40,
    "time": 41,
    "datetime2": 42,
    "datetimeoffset": 43,
    "bit": 104,
}
_TDS_TYPES |= {
    "tinyint": 38,
    "smallint": 38,
    "int": 38,
    "bigint": 38,
    "float": 109,
    "datetime": 111,
    "decimal": 106,
}
_TDS_TYPES |= {
    "numeric": 108,
    "nvarchar": 231,
    "nchar": 239,
    "varchar": 167,
    "char": 175,
    "varbinary": 165,
    "binary": 173,
}


class Procedures:
    """Runs system procedures."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def call(self, session: Session, name: str, arguments: Sequence[Variable]) -> Iterator[Event]:
        """Run a procedure; a failure becomes a message (2812 if this server does not know the procedure)."""
        try:
            yield self._run(session, name.lower(), arguments)
        except SqlError as error:
            yield from error.messages
            yield Done()

    def _run(self, session: Session, name: str, arguments: Sequence[Variable]) -> Event:
        if name == "sp_datatype_info_100":
            return self._data_types(arguments)
        if name == "sp_describe_undeclared_parameters":
            return _undeclared(session, str(arguments[0].value))
        if name == "standin_fault" and len(arguments) == 3:
            return self._fault(session, *(argument.value for argument in arguments))
        raise SqlError(2812, name)

    def _fault(self, session: Session, kind: Any, pattern: Any, amount: Any) -> Done:
        """Order a fault; see ``faults.py``."""
        self._instance.permissions.demand_server(session, "CONTROL SERVER")
        self._instance.faults.order(str(kind), str(pattern), float(amount))
        return Done()

    def _data_types(self, arguments: Sequence[Variable]) -> Rows:
        wanted = arguments[0].value if arguments else 0
        rows: list[list[Any]] = []
        if wanted in _ODBC_TYPES:
            name, size, prefix, suffix = _ODBC_TYPES[wanted]
            scale = 7 if wanted == 93 else None
            row = [
                name,
                wanted,
                size,
                prefix,
                suffix,
                "max length",
                1,
                0,
                3,
                None,
                0,
                None,
                name,
                0,
                scale,
                wanted,
            ]
            rows.append([*row, None, None, None, 39])
        return Rows(_ODBC_COLUMNS, rows)


def _undeclared(session: Session, text: str) -> Rows:
    """The types that the parameters of a statement most likely have: those of the columns they meet."""
    names = list(dict.fromkeys(name.lower() for name in re.findall(r"@P\d+", text, re.IGNORECASE)))
    found: dict[str, SqlType] = {}
    for statement in parse(text):
        _Suggestions(session, found).visit(statement)
    rows = [_described(i, name, found.get(name, nvarchar(4000))) for i, name in enumerate(names, start=1)]
    return Rows(_UNDECLARED_COLUMNS, rows)


def _described(ordinal: int, name: str, kind: SqlType) -> list[Any]:
    wide = kind.name in ("nvarchar", "nchar")
    if kind.family in ("char", "binary"):
        size = -1 if kind.length is None else kind.length * (2 if wide else 1)
    else:
        size = _FIXED_BYTES[kind.name]
    row: list[Any] = [
        ordinal,
        "@" + name[1:].upper(),
        TYPE_IDS[kind.name],
        kind.declaration,
        size,
        kind.precision,
        kind.scale,
    ]
    row += [None] * 9 + [
        False,
        False,
        False,
        True,
        False,
        None,
        _TDS_TYPES[kind.name],
        65535 if size == -1 else size,
    ]
    return row


class _Suggestions:
    """Walks a statement and notes which column each parameter meets."""

    def __init__(self, session: Session, found: dict[str, SqlType]) -> None:
        self._session = session
        self._found = found
        self._columns: dict[str, SqlType] = {}

    def visit(self, node: Any) -> None:
        if isinstance(node, tree.Insert):
            self._learn(node.table)
            columns = node.columns or tuple(self._columns)
            for row in node.rows:
                for name, value in zip(columns, row, strict=False):
                    self._meet(tree.Name((name,)), value)
        if isinstance(node, tree.Update):
            self._learn(node.table)
            for name, value in node.assignments:
                self._meet(tree.Name((name,)), value)
        if isinstance(node, tree.Table):
            self._learn(node)
        self._children(node)
        if isinstance(node, tree.Binary):
            self._meet(node.left, node.right)
            self._meet(node.right, node.left)
        if isinstance(node, tree.In):
            for item in node.items:
                self._meet(node.operand, item)
        if isinstance(node, tree.Cast) and isinstance(node.operand, tree.Variable):
            self._found.setdefault(node.operand.name, node.type)

    def _children(self, node: Any) -> None:
        if isinstance(node, tuple):
            for item in node:
                self.visit(item)
        elif isinstance(node, tree.Node):
            values = vars(node)
            # Tables first: the columns must be known before the conditions that name them.
            for key in sorted(values, key=lambda k: k not in ("table", "source", "body", "query")):
                self.visit(values[key])

    def _learn(self, table: tree.Table) -> None:
        resolver = Resolver(self._session, {})
        try:
            source = resolver.table(tree.Table(table.parts))
        except SqlError:
            return
        finally:
            resolver.close()
        for name, kind in source.columns:
            if kind is not None:
                self._columns.setdefault(name.casefold(), kind)

    def _meet(self, column: tree.Node, value: Any) -> None:
        if isinstance(value, tree.Variable) and isinstance(column, tree.Name):
            kind = self._columns.get(column.parts[-1].casefold())
            if kind is not None:
                self._found.setdefault(value.name, kind)
