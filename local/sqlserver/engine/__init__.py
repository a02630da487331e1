"""The engine behind the protocol: sessions, databases, transactions, the log, backups and restores."""
