"""The hooks that stop and start Octopus: asked until they accept, and never shown."""

from __future__ import annotations

import logging

import pytest
from pydantic import SecretStr

from shared.errors import (
    BackupSystemError,
    InvalidSettingsError,
    NotPermittedError,
    StoreError,
    UnreachableError,
)
from shared.octopus import hooks
from tests.stores.blob.support import SetClock, closed_port
from tests.stores.octopus.scripted_server import Answer, ScriptedServer

SECRET = "canary-in-a-hook-77aa"
SETTING = "OCTOPUS_STOP_HOOK"


def address(server: ScriptedServer) -> SecretStr:
    return SecretStr(f"{server.url}/webhooks/{SECRET}?token={SECRET}")


class Changing:
    """Answers one status after the other, and the last one for ever."""

    def __init__(self, server: ScriptedServer, *statuses: int) -> None:
        self._server, self._statuses = server, list(statuses)
        self._next()

    def _next(self) -> None:
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        self._server.answer = Answer([b"x" * 10], status=status, type="text/plain")


class TurningClock(SetClock):
    """With every pause the server's next answer comes up."""

    def __init__(self, changing: Changing) -> None:
        super().__init__()
        self.changing, self.pauses = changing, list[float]()

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.pauses.append(seconds)
        self.changing._next()


@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_post_without_a_body_is_accepted_by_any_2xx(server: ScriptedServer, status: int) -> None:
    server.answer = Answer([], status=status)
    answer = hooks.call(SETTING, address(server), SetClock())
    assert (answer.status, answer.tries) == (status, 1)
    (seen,) = server.seen
    assert (seen.method, seen.body) == ("POST", b"")
    assert seen.path == f"/webhooks/{SECRET}?token={SECRET}"


def test_what_may_pass_is_asked_again_after_growing_random_pauses(server: ScriptedServer) -> None:
    clock = TurningClock(Changing(server, 503, 429, 500, 202))
    assert hooks.call(SETTING, address(server), clock).tries == 4
    assert [2 <= clock.pauses[0] <= 4, 4 <= clock.pauses[1] <= 8, 8 <= clock.pauses[2] <= 16] == [True] * 3


def test_it_is_given_up_after_four_tries(server: ScriptedServer) -> None:
    server.answer = Answer([], status=500)
    with pytest.raises(StoreError, match="HTTP 500") as failed:
        hooks.call(SETTING, address(server), SetClock())
    assert failed.value.specific_code == "hook_failed"
    assert len(server.seen) == hooks.TRIES


@pytest.mark.parametrize("status", [301, 400, 404])
def test_what_stays_is_not_asked_again_and_a_redirect_is_not_followed(
    server: ScriptedServer, status: int
) -> None:
    server.answer = Answer([], status=status, headers={"Location": f"{server.url}/elsewhere"})
    with pytest.raises(StoreError, match=f"HTTP {status}"):
        hooks.call(SETTING, address(server), SetClock())
    assert len(server.seen) == 1


def test_a_refusal_says_that_the_address_may_have_expired(server: ScriptedServer) -> None:
    server.answer = Answer([], status=401)
    with pytest.raises(NotPermittedError, match="expired"):
        hooks.call(SETTING, address(server), SetClock())


def test_nobody_there_is_unreachable() -> None:
    with pytest.raises(UnreachableError, match="no connection"):
        hooks.call(SETTING, SecretStr(f"http://127.0.0.1:{closed_port()}/{SECRET}"), SetClock())


@pytest.mark.parametrize(
    "wrong", ["", "not an address", f"ftp://host/{SECRET}", "https://", "http://host:port/"]
)
def test_what_is_no_address_is_a_wrong_setting(wrong: str) -> None:
    with pytest.raises(InvalidSettingsError, match=SETTING):
        hooks.call(SETTING, SecretStr(wrong), SetClock())


@pytest.mark.parametrize("status", [202, 404, 401])
def test_the_address_is_in_no_log_and_no_error(
    server: ScriptedServer, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer = Answer([], status=status)
    told = ""
    try:
        told = str(hooks.call(SETTING, address(server), SetClock()))
    except BackupSystemError as error:
        told = f"{error} {error.as_dict()} {error.__cause__} {error.__context__}"
    assert SECRET not in told + caplog.text
