"""The system of a drill: the same storage and catalogue, other servers, no Octopus."""

from __future__ import annotations

import pytest

from shared.composition import System, compose, for_drill
from shared.errors import InvalidSettingsError
from shared.settings import group_classes, load

LIVE = {
    "BACKUP_STORAGE_URL": "https://account.blob.core.windows.net",
    "SQLSERVER_CONNECTION": "SERVER=tcp:sql,1433;UID=u;PWD=p",
    "QDRANT_URLS": "http://live:6333",
    "OCTOPUS_API_URL": "https://octopus.example.net",
}
DRILL_SQL = {"DRILL_SQLSERVER_CONNECTION": "SERVER=tcp:drill,1433;UID=u;PWD=drill-canary"}
DRILL_QDRANT = {"DRILL_QDRANT_URLS": "http://drill:6333"}
ON_LIVE = {"DRILL_ON_LIVE_SERVERS": "true"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for group in group_classes().values():
        for field in group.model_fields.values():
            monkeypatch.delenv(str(field.validation_alias), raising=False)
    for name, value in LIVE.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def composed(environment: pytest.MonkeyPatch, *settings: dict[str, str]) -> System:
    for some in settings:
        for name, value in some.items():
            environment.setenv(name, value)
    return compose(load())


def test_a_drill_has_its_own_servers_the_same_storage_and_no_octopus(environment: pytest.MonkeyPatch) -> None:
    live = composed(environment, DRILL_SQL, DRILL_QDRANT)
    practised = for_drill(live)
    assert practised.sqlserver is not live.sqlserver
    assert practised.qdrant is not live.qdrant
    assert (practised.storage, practised.catalogue) == (live.storage, live.catalogue)
    assert live.octopus is not None
    assert practised.octopus is None
    assert practised.settings.qdrant.urls == ("http://drill:6333",)
    assert for_drill(live).qdrant is practised.qdrant, "its connections are those of the process"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ((), "DRILL_SQLSERVER_CONNECTION, DRILL_QDRANT_URLS"),
        ((DRILL_SQL,), "DRILL_QDRANT_URLS"),
        ((DRILL_QDRANT,), "DRILL_SQLSERVER_CONNECTION"),
    ],
)
def test_a_live_server_is_used_only_where_that_is_said(
    environment: pytest.MonkeyPatch, given: tuple[dict[str, str], ...], missing: str
) -> None:
    with pytest.raises(InvalidSettingsError) as none:
        for_drill(composed(environment, *given))
    assert none.value.specific_code == "drill_servers_missing"
    assert f": {missing} not set" in none.value.message
    live = composed(environment, ON_LIVE)
    practised = for_drill(live)
    assert (practised.sqlserver is live.sqlserver) == (DRILL_SQL not in given)
    assert (practised.qdrant is live.qdrant) == (DRILL_QDRANT not in given)


def test_a_store_that_is_not_backed_up_needs_no_server_for_drills(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("QDRANT_URLS")
    assert not for_drill(composed(environment, DRILL_SQL)).has_qdrant


def test_a_wrong_connection_string_is_told_by_its_own_name_and_without_its_secret(
    environment: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InvalidSettingsError) as wrong:
        composed(environment, {"DRILL_SQLSERVER_CONNECTION": "PWD=drill-canary;nonsense"})
    assert "DRILL_SQLSERVER_CONNECTION" in wrong.value.message
    assert "drill-canary" not in str(wrong.value)
