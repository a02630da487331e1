"""SQL Server: connection, statements, messages, history, backup, restore."""

from shared.stores.sqlserver.backup import SqlBackup, SqlBackupRequest
from shared.stores.sqlserver.contents import MarkerRow, Migrations
from shared.stores.sqlserver.history import OwnBackup
from shared.stores.sqlserver.holdings import Holdings
from shared.stores.sqlserver.inspection import DatabaseState, ServerInfo
from shared.stores.sqlserver.marks import MarkFacts, Marking, Refusal
from shared.stores.sqlserver.store import SqlServerStore

__all__ = [
    "DatabaseState",
    "Holdings",
    "MarkFacts",
    "MarkerRow",
    "Marking",
    "Migrations",
    "OwnBackup",
    "Refusal",
    "ServerInfo",
    "SqlBackup",
    "SqlBackupRequest",
    "SqlServerStore",
]
