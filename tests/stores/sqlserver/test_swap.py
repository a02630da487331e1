"""A database gets another name: everybody is thrown out and let in again, and a taken name is refused."""

from __future__ import annotations

import pytest

from shared.clock import new_ulid
from shared.errors import InvalidRequestError, RefusedError, TargetInTheWayError
from shared.model.backups import Kind
from shared.stores.sqlserver.connection import Server
from shared.stores.sqlserver.statements import quote_name
from shared.stores.sqlserver.store import SqlServerStore
from tests.stores.sqlserver.support import Chain, Database, TestServer

pytestmark = pytest.mark.real


def test_rows_and_files_stay_and_the_undoing_statement_undoes_it(
    disk_store: SqlServerStore, database: Database
) -> None:
    new = database.side("_renamed ]x'")
    files = disk_store.inspect(database.name).files
    evidence = disk_store.rename(database.name, new)
    assert (evidence["from"], evidence["to"]) == (database.name, new)
    state = disk_store.inspect(new)
    assert (state.state_desc, state.user_access, state.files) == ("ONLINE", "MULTI_USER", files)
    assert not disk_store.inspect(database.name).exists
    assert database.texts(new) == ["the first"]
    database.admin.run(evidence["undo"])
    assert database.texts() == ["the first"]


def test_whoever_is_in_it_is_thrown_out(
    disk_store: SqlServerStore, database: Database, server: TestServer
) -> None:
    new = database.side("_renamed")
    with Server(server.connection).session() as user:
        user.run(f"USE {quote_name(database.name)};")
        disk_store.rename(database.name, new)
    assert disk_store.inspect(new).user_access == "MULTI_USER"


def test_a_name_that_is_taken_is_refused_and_nobody_is_thrown_out(
    disk_store: SqlServerStore, database: Database
) -> None:
    chain = Chain(disk_store, database.name)
    chain.take(Kind.FULL)
    chain.restore(database.side())
    with pytest.raises(TargetInTheWayError) as refused:
        disk_store.rename(database.name, database.side())
    assert refused.value.specific_code == "name_taken"
    assert disk_store.inspect(database.name).user_access == "MULTI_USER"


def test_what_is_not_there_or_not_open_cannot_be_renamed(
    disk_store: SqlServerStore, database: Database
) -> None:
    with pytest.raises(RefusedError, match="absent"):
        disk_store.rename(database.side("_nothing"), database.side("_new"))
    chain = Chain(disk_store, database.name)
    chain.take(Kind.FULL)
    (full,) = chain.steps(database.side())
    disk_store.restore(full, run_id=new_ulid())
    with pytest.raises(RefusedError, match="RESTORING"):
        disk_store.rename(database.side(), database.side("_new"))


@pytest.mark.parametrize("name", ["master", "MSDB", "", "x" * 129])
def test_a_system_database_and_what_is_no_name_are_refused(
    disk_store: SqlServerStore, database: Database, name: str
) -> None:
    with pytest.raises(InvalidRequestError):
        disk_store.rename(database.name, name)
    with pytest.raises(InvalidRequestError):
        disk_store.rename(name, database.side("_new"))
    assert disk_store.inspect(database.name).user_access == "MULTI_USER"


def test_a_database_that_an_earlier_attempt_left_closed_is_opened(
    disk_store: SqlServerStore, database: Database
) -> None:
    database.admin.run(f"ALTER DATABASE {quote_name(database.name)} SET SINGLE_USER WITH ROLLBACK IMMEDIATE;")
    disk_store.let_in(database.name)
    assert disk_store.inspect(database.name).user_access == "MULTI_USER"
    disk_store.let_in(database.side("_nothing"))
