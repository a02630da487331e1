"""A stand-in SQL Server that speaks TDS."""
