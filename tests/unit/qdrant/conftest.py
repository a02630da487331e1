"""What the tests of the Qdrant store's parts share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import stamina
from pydantic import SecretStr

from shared.stores.qdrant.client import Peer

Connect = Callable[..., Peer]


class ManualClock:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 31, tzinfo=UTC) + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        self.passed += seconds


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(autouse=True)
def short_retries() -> Iterator[None]:
    """Retries without pauses."""
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connects to a server; closed at the end."""
    opened: list[Peer] = []

    def to(url: str, key: SecretStr | None = None) -> Peer:
        opened.append(Peer(url, key))
        return opened[-1]

    yield to
    for peer in opened:
        peer.close()
