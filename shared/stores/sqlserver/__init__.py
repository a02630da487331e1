"""SQL Server: connection, statements, messages, history, backup, restore."""
