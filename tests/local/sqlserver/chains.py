"""A chain of backups that tests restore from."""

from __future__ import annotations

from pathlib import Path

from tests.local.sqlserver.support import Client


class Chain:
    """A full, a differential and logs of one database, with a row of its own between each."""

    def __init__(self, client: Client, database: str, folder: Path) -> None:
        self.client, self.database, self.folder = client, database, folder
        self._row = 0
        self.insert()
        self.backup("DATABASE", "full", "CHECKSUM")

    def insert(self, *, mark: str | None = None) -> int:
        self._row += 1
        insert = f"INSERT INTO [{self.database}].dbo.Items VALUES ({self._row}, NULL)"
        self.client.run(f"BEGIN TRAN {mark} WITH MARK; {insert}; COMMIT" if mark else insert)
        return self._row

    def backup(self, what: str, name: str, options: str = "CHECKSUM") -> str:
        self.client.run(f"BACKUP {what} [{self.database}] TO DISK = N'{self.folder}/{name}' WITH {options}")
        return name

    def log(self, name: str) -> str:
        return self.backup("LOG", name)

    def restore(self, target: str, name: str, options: str = "NORECOVERY", *, log: bool = True) -> str:
        what = "LOG" if log else "DATABASE"
        return f"RESTORE {what} [{target}] FROM DISK = N'{self.folder}/{name}' WITH {options}"

    def start(self, target: str, name: str = "full", options: str = "NORECOVERY") -> None:
        """Restore the full backup side by side."""
        moves = (
            f"MOVE N'{self.database}' TO N'{self.folder}/{target}.mdf', MOVE"
            f" N'{self.database}_log' TO N'{self.folder}/{target}.ldf'"
        )
        self.client.run(self.restore(target, name, f"{moves}, {options}", log=False))

    def rows(self, target: str) -> list[int]:
        return [row[0] for row in self.client.rows(f"SELECT Id FROM [{target}].dbo.Items ORDER BY Id")]

    def recover(self, target: str) -> None:
        self.client.run(f"RESTORE DATABASE [{target}] WITH RECOVERY")

    def state(self, target: str) -> str:
        return str(self.client.value("SELECT state_desc FROM sys.databases WHERE name = ?", target))
