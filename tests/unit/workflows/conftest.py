"""A system without servers: its catalogue is real, and its clock stands still until a test moves it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.azurite import Azurite
from shared.blob.storage import Storage
from shared.composition import System, compose
from shared.settings import load
from tests.stores.blob.conftest import azurite, storage
from tests.stores.blob.support import SetClock

__all__ = ["azurite", "storage"]

SETTINGS = {
    "SQLSERVER_CONNECTION": "SERVER=127.0.0.1,9;UID=sa;PWD=nothing;Encrypt=yes",
    "SQLSERVER_DATABASES": "OctopusDB",
    "QDRANT_URLS": "http://127.0.0.1:9",
    "SQL_FULL_SCHEDULE": "0 0 1 * * *",
    "SQL_DIFFERENTIAL_SCHEDULE": "0 0 */4 * * *",
    "SQL_LOG_SCHEDULE": "0 */15 * * * *",
    "RECOVERY_POINT_SCHEDULE": "0 30 2 * * *",
}


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def system(
    azurite: Azurite, storage: Storage, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[System]:
    account = {"BACKUP_STORAGE_URL": azurite.url, "BACKUP_STORAGE_CREDENTIAL": azurite.account_key}
    for name, value in {**SETTINGS, **account}.items():
        monkeypatch.setenv(name, value)
    composed = compose(load(), clock)
    yield composed
    composed.storage.close()
    composed.qdrant.close()
