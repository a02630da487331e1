"""A catalogue in an emptied account, with a clock that stands still until a test moves it."""

from __future__ import annotations

import pytest

from shared.blob.storage import Storage
from shared.catalogue import Catalogue
from tests.stores.blob.conftest import azurite, proxy, storage, troubled
from tests.stores.blob.support import SetClock

__all__ = ["azurite", "proxy", "storage", "troubled"]


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def catalogue(storage: Storage, clock: SetClock) -> Catalogue:
    return Catalogue(storage, clock)
