"""Settings: read from the environment, checked at once, secrets never shown."""

import pytest

from local.generated import FILES, ROOT
from shared.errors import InvalidSettingsError
from shared.settings import Settings, group_classes, load

PASSWORD = "hunter2-canary"
SOUND = {
    "BACKUP_STORAGE_URL": "https://account.blob.core.windows.net",
    "SQLSERVER_CONNECTION": f"SERVER=tcp:sql,1433;UID=u;PWD={PASSWORD}",
    "QDRANT_URLS": "http://a:6333, http://b:6333/",
}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any setting of ours, but for the sound ones."""
    for group in group_classes().values():
        for field in group.model_fields.values():
            monkeypatch.delenv(str(field.validation_alias), raising=False)
    for name, value in SOUND.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_sound_settings_are_read_into_one_tree(settings: pytest.MonkeyPatch) -> None:
    found = load()
    assert found.qdrant.urls == ("http://a:6333", "http://b:6333")
    assert found.sqlserver.databases == ("OctopusDB",)
    assert found.schedules.sql_log == "0 */15 * * * *"


def test_every_problem_is_reported_at_once_with_name_and_example(settings: pytest.MonkeyPatch) -> None:
    wrong = {
        "BACKUP_STORAGE_URL": "",
        "SQL_LOG_SCHEDULE": "*/15 * * * *",
        "SQLSERVER_BACKUP_MEDIUM": "disk",
        "QDRANT_COLLECTIONS": "(",
        "QDRANT_FREE_BYTES": "plenty",
    }
    for name, value in wrong.items():
        settings.setenv(name, value)
    with pytest.raises(InvalidSettingsError) as caught:
        load()
    for name in (*wrong, "SQLSERVER_BACKUP_DIR", "SQLSERVER_BACKUP_DIR_LOCAL"):
        assert name in caught.value.message
    assert "0 */15 * * * *" in caught.value.message


@pytest.mark.parametrize(
    "address", ["ftp://x", "account", "https://user:secret@x", "https://x?sig=secret", "https://x/#f"]
)
def test_an_address_with_user_query_or_another_protocol_is_refused(
    settings: pytest.MonkeyPatch, address: str
) -> None:
    settings.setenv("BACKUP_STORAGE_URL", address)
    with pytest.raises(InvalidSettingsError) as caught:
        load()
    assert "secret" not in str(caught.value)


def test_a_secret_appears_neither_in_the_tree_nor_in_an_error(settings: pytest.MonkeyPatch) -> None:
    assert PASSWORD not in repr(load())
    assert PASSWORD not in load().model_dump_json()
    settings.setenv("BACKUP_STORAGE_URL", "nonsense")
    with pytest.raises(InvalidSettingsError) as caught:
        load()
    assert PASSWORD not in str(caught.value)


def test_with_nothing_to_back_up_the_settings_are_refused(settings: pytest.MonkeyPatch) -> None:
    settings.delenv("SQLSERVER_CONNECTION")
    settings.delenv("QDRANT_URLS")
    with pytest.raises(InvalidSettingsError, match="nothing to back up"):
        load()


def changed(settings: pytest.MonkeyPatch, name: str, value: str) -> Settings:
    settings.setenv(name, value)
    return load()


def test_the_fingerprint_changes_with_what_a_restore_uses_and_not_with_a_password(
    settings: pytest.MonkeyPatch,
) -> None:
    before = load().fingerprint()
    other_password = SOUND["SQLSERVER_CONNECTION"].replace(PASSWORD, "another")
    assert changed(settings, "SQLSERVER_CONNECTION", other_password).fingerprint() == before
    assert changed(settings, "SQL_LOG_SCHEDULE", "0 0 * * * *").fingerprint() == before
    assert changed(settings, "QDRANT_URLS", "http://a:6333").fingerprint() != before


@pytest.mark.parametrize("name", sorted(FILES))
def test_what_is_generated_from_the_settings_is_current(name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == FILES[name](), "stale: run `make generate`"


DRILL = {
    "DRILL_SQLSERVER_CONNECTION": f"SERVER=tcp:drill,1433;UID=u;PWD={PASSWORD}",
    "DRILL_QDRANT_URLS": "http://drill:6333",
    "DRILL_QDRANT_API_KEY": "drill-key",
}


def test_drills_have_servers_of_their_own_and_everything_else_in_common(settings: pytest.MonkeyPatch) -> None:
    for name, value in {**DRILL, "QDRANT_FREE_BYTES": "1", "QDRANT_RESTORE_API_KEY": "live-key"}.items():
        settings.setenv(name, value)
    live = load()
    practised = live.for_drill()
    assert practised.sqlserver.connection == live.drill.sqlserver_connection
    assert practised.qdrant.urls == ("http://drill:6333",)
    assert practised.qdrant.api_key is not None
    assert practised.qdrant.api_key.get_secret_value() == "drill-key"
    assert practised.qdrant.restore_api_key is None, "the live servers' key goes to no other"
    assert practised.qdrant.free_bytes is None
    assert practised.storage == live.storage
    assert practised.sqlserver.databases == live.sqlserver.databases
    assert load().for_drill() != live


def test_where_none_is_named_a_drill_has_the_live_servers(settings: pytest.MonkeyPatch) -> None:
    found = load()
    assert found.for_drill() == found


def test_a_timer_for_drills_needs_servers_for_them(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("DRILL_ENABLED", "true")
    with pytest.raises(InvalidSettingsError) as caught:
        load()
    for name in ("DRILL_SQLSERVER_CONNECTION", "DRILL_QDRANT_URLS"):
        assert f"{name}: is needed because DRILL_ENABLED is true" in caught.value.message
    for name, value in DRILL.items():
        settings.setenv(name, value)
    assert load().drill.enabled


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DRILL_SQLSERVER_CONNECTION", "Server=TCP:SQL,1433;UID=other;PWD=x"),
        ("DRILL_QDRANT_URLS", "http://drill:6333,http://b:6333/"),
    ],
)
def test_the_live_servers_are_no_servers_for_drills_unless_that_is_said(
    settings: pytest.MonkeyPatch, name: str, value: str
) -> None:
    settings.setenv(name, value)
    with pytest.raises(InvalidSettingsError, match=name):
        load()
    settings.setenv("DRILL_ON_LIVE_SERVERS", "true")
    assert load().drill.on_live
