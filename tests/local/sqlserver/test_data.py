"""Tables and values: what goes in through the driver comes out, and constraints hold."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from typing import Any

import pyodbc
import pytest

from tests.local.sqlserver.support import Client, Server

AGENT = uuid.UUID("7f3a8b2c-4d5e-6f7a-8b9c-0d1e2f3a4b5c")
VALUES: list[tuple[str, Any]] = [
    ("uniqueidentifier", AGENT),
    ("nvarchar(50)", "Zürich 🐙 'quoted'"),
    ("nvarchar(max)", "x" * 9000 + "ä"),
    ("varchar(20)", "plain"),
    ("int", -5),
    ("bigint", 2**40),
    ("smallint", -300),
    ("tinyint", 200),
    ("bit", True),
    ("datetime2", dt.datetime.combine(dt.date(2026, 3, 1), dt.time(23, 59, 58, 123456))),
    ("date", dt.date(2026, 3, 1)),
    ("time", dt.time(1, 2, 3)),
    ("decimal(18,4)", decimal.Decimal("-12345.6789")),
    ("numeric(25,0)", decimal.Decimal(37000000012300001)),
    ("float", 1.5e-7),
    ("varbinary(100)", b"\x00\x01\xff"),
    ("varbinary(max)", b"\x01" * 20000),
]


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=[kind for kind, _ in VALUES])
def test_a_value_and_a_null_of_each_type_come_back_as_they_went_in(
    database: str, server: Server, kind: str, value: Any
) -> None:
    client = server.connect(database)
    client.run(f"CREATE TABLE T (Id int PRIMARY KEY, V {kind} NULL)")
    client.run("INSERT INTO T (Id, V) VALUES (?, ?), (?, ?)", 1, value, 2, None)
    found = [row[1] for row in client.rows("SELECT Id, V FROM T ORDER BY Id")]
    assert (uuid.UUID(found[0]) if isinstance(value, uuid.UUID) else found[0]) == value
    assert found[1] is None
    if not kind.endswith("(max)") and not isinstance(value, float):
        assert client.value("SELECT COUNT(*) FROM T WHERE V = ?", value) == 1
    client.close()


@pytest.mark.parametrize("fast", [False, True])
def test_executemany_inserts_every_row(items: Client, fast: bool) -> None:
    items.cursor.fast_executemany = fast
    rows = [(number, f"name {number}" if number % 3 else None) for number in range(300)]
    items.cursor.executemany("INSERT INTO Items (Id, Name) VALUES (?, ?)", rows)
    assert items.rows("SELECT Id, Name FROM Items ORDER BY Id") == rows


def test_the_octopus_tables_can_be_made_filled_and_counted(database: str, server: Server) -> None:
    client = server.connect(database)
    client.run(
        "CREATE TABLE dbo.Octopus_Agents (AgentId uniqueidentifier NOT NULL, TenantId nvarchar(100) NOT NULL,"
        " Name nvarchar(200) NOT NULL, SystemPrompt nvarchar(max) NULL, Version int NOT NULL DEFAULT 1,"
        " CreatedAt datetime2(7) NOT NULL CONSTRAINT DF_Created DEFAULT SYSUTCDATETIME(),"
        " CONSTRAINT PK_Octopus_Agents PRIMARY KEY CLUSTERED (AgentId));"
        "CREATE TABLE dbo.Octopus_Episodes (EpisodeId uniqueidentifier NOT NULL PRIMARY KEY DEFAULT NEWID(),"
        " AgentId uniqueidentifier NOT NULL, IsDeleted bit NOT NULL DEFAULT 0,"
        " CONSTRAINT FK_Agent FOREIGN KEY (AgentId) REFERENCES dbo.Octopus_Agents (AgentId));"
        "CREATE TABLE dbo.Octopus_EpisodeMessages (MessageId bigint IDENTITY(1,1) NOT NULL PRIMARY KEY,"
        " EpisodeId uniqueidentifier NOT NULL REFERENCES dbo.Octopus_Episodes (EpisodeId) ON DELETE CASCADE,"
        " Content nvarchar(max) NOT NULL);"
        "CREATE INDEX IX_Agent ON dbo.Octopus_Episodes (AgentId) WHERE IsDeleted = 0;"
    )
    client.run("INSERT INTO Octopus_Agents (AgentId, TenantId, Name) VALUES (?, N't', N'one')", AGENT)
    episode = uuid.uuid4()
    client.run("INSERT INTO Octopus_Episodes (EpisodeId, AgentId) VALUES (?, ?)", episode, AGENT)
    insert = "INSERT INTO Octopus_EpisodeMessages (EpisodeId, Content) VALUES (?, N'a'), (?, N'b')"
    client.run(insert, episode, episode)
    master = server.connect()
    like = master.rows(
        f"SELECT name FROM [{database}].sys.tables WHERE name LIKE 'Octopus[_]%' ORDER BY name"
    )
    assert [name for (name,) in like] == ["Octopus_Agents", "Octopus_EpisodeMessages", "Octopus_Episodes"]
    counted = f"SELECT COUNT_BIG(*) FROM [{database}].[dbo].[Octopus_EpisodeMessages]"
    assert master.value(counted) == 2
    stats = (
        f"SELECT t.name, SUM(p.row_count) FROM [{database}].sys.tables AS t JOIN"
        f" [{database}].sys.dm_db_partition_stats AS p ON p.object_id = t.object_id AND p.index_id IN (0, 1)"
        " GROUP BY t.name ORDER BY t.name"
    )
    assert master.rows(stats)[1] == ("Octopus_EpisodeMessages", 2)
    keys = (
        f"SELECT k.COLUMN_NAME FROM [{database}].INFORMATION_SCHEMA.TABLE_CONSTRAINTS AS c"
        f" JOIN [{database}].INFORMATION_SCHEMA.KEY_COLUMN_USAGE AS k"
        " ON k.CONSTRAINT_NAME = c.CONSTRAINT_NAME"
        " WHERE c.CONSTRAINT_TYPE = 'PRIMARY KEY' AND c.TABLE_NAME = N'Octopus_Agents'"
    )
    assert master.rows(keys) == [("AgentId",)]
    assert client.error("DELETE FROM Octopus_Agents") == 547
    client.run("DELETE FROM Octopus_Episodes")
    assert master.value(counted) == 0
    client.close()
    master.close()


def test_constraints_answer_with_their_numbers_and_texts(items: Client, database: str) -> None:
    items.run(
        "CREATE TABLE Child (Id int IDENTITY PRIMARY KEY, Item int NOT NULL"
        " CONSTRAINT FK_Item REFERENCES Items (Id))"
    )
    items.run("INSERT INTO Items VALUES (1, N'one')")
    number, text = items.refusal("INSERT INTO Items VALUES (1, N'again')")
    assert number == 2627
    assert "Cannot insert duplicate key in object 'dbo.Items'. The duplicate key value is (1)." in text
    number, text = items.refusal("INSERT INTO Child (Item) VALUES (7)")
    assert number == 547
    assert (
        f'FOREIGN KEY constraint "FK_Item". The conflict occurred in database "{database}", table "dbo.Items"'
        in text
    )
    number, text = items.refusal("INSERT INTO Items (Name) VALUES (N'no id')")
    assert number == 515
    assert "Cannot insert the value NULL into column 'Id'" in text
    assert items.error("INSERT INTO Items VALUES (2, REPLICATE(N'x', 60))") == 2628
    assert items.error("INSERT INTO Items VALUES (2, N'a'), (1, N'b')") == 2627
    assert items.rows("SELECT Id, Name FROM Items") == [(1, "one")]


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("SELECT * FROM Nowhere", 208),
        ("SELECT Nothing FROM Items", 207),
        ("SELECT x.Id FROM Items AS i", 4104),
        ("SELECT Id FROM Items AS a JOIN Items AS b ON a.Id = b.Id", 209),
        ("SELEC 1", 2812),
        ("SELECT 1 FROM", 156),
        ("SELECT 'open", 105),
        ("SELECT Name, COUNT(*) FROM Items", 8120),
        ("SELECT 1/0", 8134),
        ("SELECT CAST('x' AS int)", 245),
        ("SELECT CAST('x' AS uniqueidentifier)", 8169),
        ("SELECT CAST('never' AS datetime2)", 241),
        ("SELECT 2147483647 + 1", 8115),
        ("SELECT @x", 137),
        ("SELECT NO_SUCH_FUNCTION(1)", 195),
        ("USE nowhere", 911),
        ("SELECT * FROM nowhere.dbo.T", 911),
        ("INSERT INTO Items (Id) VALUES (1, 2)", 110),
        ("SELECT 1 UNION ALL SELECT 1, 2", 205),
    ],
)  # fmt: skip
def test_misuse_answers_with_the_real_number(items: Client, sql: str, number: int) -> None:
    assert items.error(sql) == number


@pytest.mark.parametrize(
    "sql",
    [
        "MERGE Items AS t USING Items AS s ON t.Id = s.Id WHEN MATCHED THEN DELETE;",
        "CREATE VIEW V AS SELECT 1 AS a",
        "CREATE PROCEDURE P AS SELECT 1",
        "CREATE TRIGGER R ON Items AFTER INSERT AS SELECT 1",
        "SELECT * INTO Copy FROM Items",
        "SELECT * FROM Items FOR JSON PATH",
        "SELECT * FROM Items OPTION (RECOMPILE)",
        "SELECT * FROM Items CROSS APPLY (SELECT 1 AS a) AS b",
        "WHILE 1 = 1 SELECT 1",
        "SAVE TRANSACTION here",
        "GRANT IMPERSONATE ON USER::dbo TO public",
        "DBCC SHRINKDATABASE (master)",
        "EXEC sp_configure",
        "BULK INSERT Items FROM 'x'",
        "CREATE TABLE #t (a int)",
        "SELECT * FROM OPENJSON(N'[]')",
        "BACKUP DATABASE master TO TAPE = 'x'",
        "ALTER DATABASE master SET QUERY_STORE = ON",
        "CREATE TABLE C (a int CHECK (a > 1))",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    ],
)
def test_what_the_server_does_not_know_it_refuses(items: Client, sql: str) -> None:
    with pytest.raises(pyodbc.Error):
        items.run(sql)


def test_queries_join_group_order_and_page(items: Client) -> None:
    items.run("INSERT INTO Items VALUES (1, N'a'), (2, N'b'), (3, N'B'), (4, NULL)")
    assert items.rows("SELECT Name, COUNT(*) AS n FROM Items GROUP BY Name HAVING COUNT(*) > 1") == [("b", 2)]
    assert items.rows("SELECT TOP (2) Id FROM Items ORDER BY Id DESC") == [(4,), (3,)]
    assert items.rows("SELECT Id FROM Items ORDER BY Id OFFSET 1 ROWS FETCH NEXT 2 ROWS ONLY") == [(2,), (3,)]
    cte = (
        "WITH c AS (SELECT Id FROM Items WHERE Name = N'B') SELECT SUM(Id)"
        " FROM c UNION ALL SELECT MAX(Id) FROM Items"
    )
    assert items.rows(cte) == [(5,), (4,)]
    exists = "SELECT i.Id FROM Items AS i WHERE EXISTS (SELECT 1 FROM Items AS j WHERE j.Id = i.Id + 3)"
    assert items.rows(exists) == [(1,)]
    items.run("UPDATE i SET Name = j.Name FROM Items AS i JOIN Items AS j ON j.Id = 1 WHERE i.Name IS NULL")
    assert items.value("SELECT ISNULL(Name, N'?') + N'!' FROM Items WHERE Id = 4") == "a!"
    items.run("DELETE i FROM Items AS i WHERE i.Id IN (SELECT Id FROM Items WHERE Id > ?)", 2)
    assert items.value("SELECT COUNT(*) FROM Items") == 2


def test_variables_control_flow_and_errors_work_as_in_a_careful_script(items: Client) -> None:
    items.run(
        "SET NOCOUNT ON; DECLARE @n int = 2; IF NOT EXISTS (SELECT 1 FROM Items WHERE Id = @n)"
        " BEGIN INSERT INTO Items VALUES (@n, N'made'); EXEC(N'INSERT"
        " INTO Items VALUES (3, N''nested'')'); END"
        " ELSE INSERT INTO Items VALUES (9, N'wrong');"
    )
    assert items.rows("SELECT Id, Name FROM Items ORDER BY Id") == [(2, "made"), (3, "nested")]
    caught = (
        "BEGIN TRY INSERT INTO Items VALUES (2, N'again') END TRY BEGIN CATCH SELECT ERROR_NUMBER() END CATCH"
    )
    assert items.value(caught) == 2627
    assert items.error("THROW 51000, N'mine', 1") == 51000
    items.run("INSERT INTO Items VALUES (7, N'x')")
    assert items.value("SELECT @@ROWCOUNT") == 1


def test_the_server_tells_who_it_is(client: Client) -> None:
    properties = ["ProductVersion", "ProductMajorVersion", "EngineEdition", "Edition", "MachineName"]
    sql = "SELECT " + ", ".join(f"SERVERPROPERTY('{name}')" for name in properties)
    version, major, edition, *_ = client.rows(sql)[0]
    assert (version.split(".")[0], major, edition) == ("16", "16", 3)
    assert client.value("SELECT SERVERPROPERTY('InstanceDefaultDataPath')").endswith("/")
    assert client.rows("SELECT SUSER_SNAME(), DB_NAME(), IS_SRVROLEMEMBER('sysadmin')") == [
        ("sa", "master", 1)
    ]
    assert client.value("SELECT QUOTENAME(N'a]b')") == "[a]]b]"
    assert client.rows("SELECT LEN(N'ab  '), DATALENGTH(N'ab')") == [(2, 4)]
    difference = client.value("SELECT DATEDIFF(minute, SYSUTCDATETIME(), SYSDATETIME())")
    assert math.isclose(difference, 0)
