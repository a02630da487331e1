"""TDS 7.4, the wire protocol of SQL Server: packets, TLS, login, requests, result streams ([MS-TDS])."""
