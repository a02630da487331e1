"""The account: its containers, and addresses from which others may read."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from azure.core.credentials import AccessToken
from pydantic import SecretStr

from local.azurite import Azurite
from shared.blob import documents
from shared.blob.download import read
from shared.blob.storage import CONTAINERS, Storage
from shared.blob.upload import upload
from shared.clock import SystemClock
from shared.errors import InvalidSettingsError, NotPermittedError
from shared.settings import StorageSettings
from tests.stores.blob.support import QUICK, SetClock, trusting

HOSTILE = "sqlserver/a 'b\"/é;[x]?#%41&=+~/1.bak"


class Identity:
    """An identity as Azurite takes it: it reads the claims of a token and does not check the signature."""

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        now = int(time.time())
        claims = {
            "aud": "https://storage.azure.com",
            "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000000/",
            "nbf": now - 60,
            "iat": now - 60,
            "exp": now + 3600,
            "oid": "00000000-0000-0000-0000-000000000001",
            "tid": "00000000-0000-0000-0000-000000000000",
        }
        token = ".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in ({"alg": "RS256", "typ": "JWT"}, claims)
        )
        return AccessToken(f"{token}.c2lnbmF0dXJl", now + 3600)


@pytest.fixture
def clock() -> SetClock:
    return SetClock(datetime.now(UTC))


@pytest.fixture(params=["key", "identity"])
def either(
    request: pytest.FixtureRequest, storage: Storage, azurite: Azurite, clock: SetClock
) -> Iterator[Storage]:
    """The account opened with its key, and with an identity."""
    credential = azurite.account_key if request.param == "key" else Identity()
    with Storage(azurite.url, credential, clock, QUICK) as opened:
        yield opened


def test_the_containers_are_made_once_and_left_alone_afterwards(storage: Storage) -> None:
    for name in CONTAINERS:
        storage.container(name).delete_container()
    storage.ensure_containers()
    documents.create(storage, "state", "kept.json", {})
    storage.ensure_containers()
    assert [entry.name for entry in documents.entries(storage, "state", "")] == ["kept.json"]


def test_settings_open_the_account(storage: Storage, azurite: Azurite) -> None:
    settings = StorageSettings.model_validate(
        {"BACKUP_STORAGE_URL": azurite.url, "BACKUP_STORAGE_CREDENTIAL": SecretStr(azurite.account_key)}
    )
    with Storage.open(settings, SystemClock()) as opened:
        ref = upload(opened, "data", "1.bak", [b"hello"], attempt="a1")
    assert b"".join(read(storage, ref)) == b"hello"


def test_without_a_key_the_identity_at_hand_is_used_and_its_absence_is_explained(
    storage: Storage, azurite: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")  # of all sources only this one
    settings = StorageSettings.model_validate({"BACKUP_STORAGE_URL": azurite.url})
    with (
        Storage.open(settings, SystemClock()) as opened,
        pytest.raises(NotPermittedError, match="no usable credential") as refused,
    ):
        documents.read(opened, "state", "a.json")
    assert "az login" in refused.value.hint


def test_the_token_of_an_identity_is_not_sent_in_the_clear() -> None:
    settings = StorageSettings.model_validate({"BACKUP_STORAGE_URL": "http://127.0.0.1:1/account"})
    with pytest.raises(InvalidSettingsError, match="not https"):
        Storage.open(settings, SystemClock())


def test_several_hosts_may_make_the_containers_at_the_same_time(storage: Storage) -> None:
    for name in CONTAINERS:
        storage.container(name).delete_container()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: storage.ensure_containers(), range(4)))
    assert all(storage.container(name).exists() for name in CONTAINERS)


def test_a_plain_address_gives_nobody_a_right(storage: Storage, azurite: Azurite) -> None:
    upload(storage, "data", "a/1.bak", [b"hello"], attempt="a1")
    address = storage.address("data", "a/1.bak")
    assert address == f"{azurite.url}/data/a/1.bak"
    with trusting(azurite) as client:
        assert client.get(address).status_code in (401, 403, 404)


@pytest.mark.parametrize("name", ["a/1.bak", HOSTILE])
def test_a_read_address_reads_this_blob_and_does_nothing_else(
    either: Storage, storage: Storage, azurite: Azurite, name: str
) -> None:
    ref = upload(storage, "data", name, [b"hello"], attempt="a1")
    other = upload(storage, "data", "other", [b"other"], attempt="a1")
    url = either.read_url(ref, 60)
    with trusting(azurite) as client:
        assert client.get(url).content == b"hello"
        elsewhere = url.replace(storage.address("data", name), storage.address("data", other.name))
        assert client.get(elsewhere).status_code == 403
        assert client.put(url, content=b"x", headers={"x-ms-blob-type": "BlockBlob"}).status_code == 403
        assert client.delete(url).status_code == 403


def test_a_read_address_ends(either: Storage, storage: Storage, azurite: Azurite, clock: SetClock) -> None:
    ref = upload(storage, "data", "1.bak", [b"hello"], attempt="a1")
    clock.pass_by(hours=-1)
    with trusting(azurite) as client:
        assert client.get(either.read_url(ref, 3600 - 60)).status_code == 403
        assert client.get(either.read_url(ref, 3600 + 600)).status_code == 200


def test_a_read_address_never_lasts_longer_than_six_days(
    either: Storage, storage: Storage, azurite: Azurite, clock: SetClock
) -> None:
    ref = upload(storage, "data", "1.bak", [b"hello"], attempt="a1")
    url = either.read_url(ref, 30 * 86_400)
    until = datetime.fromisoformat(parse_qs(urlsplit(url).query)["se"][0])
    assert (until - clock.now()).total_seconds() == pytest.approx(6 * 86_400, abs=1)
    with trusting(azurite) as client:
        assert client.get(url).content == b"hello"


def test_the_key_of_an_identity_is_asked_for_once_and_again_before_it_ends(
    storage: Storage, azurite: Azurite, clock: SetClock
) -> None:
    ref = upload(storage, "data", "1.bak", [b"hello"], attempt="a1")

    def key_of(url: str) -> str:
        return parse_qs(urlsplit(url).query)["skt"][0]  # the start of the key that signed it

    with Storage(azurite.url, Identity(), clock, QUICK) as opened:
        first = key_of(opened.read_url(ref, 3600))
        clock.pass_by(days=2)
        assert key_of(opened.read_url(ref, 3600)) == first
        clock.pass_by(days=4, hours=23)  # 45 minutes are left of it, too few
        assert key_of(opened.read_url(ref, 3600)) != first
