"""The app when its settings are wrong, its storage is gone, or keys may not restore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.app.served import FUNCTION_KEY, App, refused
from tests.servers import NEVER, SA_PASSWORD

SOUND = {
    "BACKUP_STORAGE_URL": "https://127.0.0.1:9/account",
    "BACKUP_STORAGE_CREDENTIAL": "Y2FuYXJ5LW9mLXRoZS1hY2NvdW50",
    "SQLSERVER_CONNECTION": f"SERVER=127.0.0.1,9;UID=sa;PWD={SA_PASSWORD};Encrypt=yes",
    "QDRANT_URLS": "http://127.0.0.1:9",
    **{
        f"{timer}_SCHEDULE": NEVER
        for timer in ("SQL_FULL", "SQL_DIFFERENTIAL", "SQL_LOG", "RECOVERY_POINT", "HISTORY_PURGE", "DRILL")
    },
}


@pytest.fixture
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[App]:
    changed: Mapping[str, str] = request.param
    with App({**SOUND, **changed}, tmp_path / "host.log") as served:
        yield served
        told = "".join(served.replies) + served.log.read_text("utf-8")
        for secret in (SA_PASSWORD, SOUND["BACKUP_STORAGE_CREDENTIAL"], FUNCTION_KEY):
            assert secret not in told


@pytest.mark.parametrize(
    "app", [{"QDRANT_URLS": "ftp://nowhere", "QDRANT_FREE_BYTES": "much"}], indirect=True
)
def test_wrong_settings_make_it_unhealthy_and_only_the_log_says_which(app: App) -> None:
    answer = app.ask("GET", "/api/health", key="")
    assert (answer.status_code, answer.json()) == (503, {"status": "unhealthy", "code": "invalid_settings"})
    log = app.log.read_text("utf-8")
    assert "QDRANT_URLS" in log
    assert "QDRANT_FREE_BYTES" in log
    problem = refused(app.ask("GET", "/api/backups"), 500, "invalid_settings")
    assert "QDRANT_URLS" in problem["message"]
    assert "QDRANT_FREE_BYTES" in problem["message"]


@pytest.mark.parametrize("app", [{}], indirect=True)
def test_keys_may_not_restore_unless_the_settings_say_so_and_storage_out_of_reach_is_told(app: App) -> None:
    start = app.ask("POST", "/api/restores", json={"plan_id": "x", "digest": "y"})
    assert "ALLOW_KEY_RESTORE" in refused(start, 403, "key_restore_not_allowed")["hint"]
    assert app.ask("GET", "/api/health", key="").status_code == 200  # the app itself is well
    requests = [
        ("GET", "/api/backups", None),
        ("GET", "/api/status", None),
        ("POST", "/api/restores/plan", {"target": "latest"}),
    ]
    with ThreadPoolExecutor(len(requests)) as pool:
        answers = list(pool.map(lambda one: app.ask(one[0], one[1], json=one[2]), requests))
    for answer in answers:
        refused(answer, 503, "unreachable")
