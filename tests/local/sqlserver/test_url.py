"""BACKUP and RESTORE to URL: a real blob service over TLS, shared access signatures, credentials."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from azure.storage.blob import ContainerClient, ContainerSasPermissions, generate_container_sas

from local.azurite import ACCOUNT, Azurite
from local.certificates import Certificate
from tests.local.sqlserver.support import Client, running


@dataclass
class Place:
    """A container, a server that trusts its address, and a client of both."""

    client: Client
    container: ContainerClient
    azurite: Azurite

    @property
    def url(self) -> str:
        return str(self.container.url)

    def signature(self, permissions: str = "rwlc", hours: float = 1) -> str:
        return generate_container_sas(
            ACCOUNT,
            self.container.container_name,
            account_key=self.azurite.account_key,
            permission=ContainerSasPermissions.from_string(permissions),
            expiry=dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours),
        )

    def credential(self, secret: str, action: str = "ALTER") -> None:
        self.client.run(
            f"{action} CREDENTIAL [{self.url}] WITH IDENTITY = 'SHARED ACCESS SIGNATURE', SECRET = '{secret}'"
        )


@pytest.fixture(scope="module")
def place(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    azurite = Azurite(tmp_path_factory.mktemp("azurite"), certificate=certificate).start()
    try:
        container = ContainerClient(
            azurite.url, "landing", credential=azurite.account_key, connection_verify=str(azurite.certificate)
        )
        container.create_container()
        folder = tmp_path_factory.mktemp("server")
        with running(folder, env={"SSL_CERT_FILE": str(azurite.certificate)}) as server:
            client = server.connect()
            client.run("CREATE DATABASE d; CREATE TABLE d.dbo.Items (Id int, Fill varbinary(max))")
            opened = Place(client, container, azurite)
            opened.credential(opened.signature(), "CREATE")
            yield opened
            client.close()
        container.close()
    finally:
        azurite.stop()


def test_stripes_go_to_block_blobs_and_come_back(place: Place) -> None:
    client = place.client
    client.cursor.executemany(
        "INSERT INTO d.dbo.Items VALUES (?, ?)", [(number, bytes([number]) * 200_000) for number in range(60)]
    )
    urls = ", ".join(f"URL = N'{place.url}/a/stripe{number}.bak'" for number in (1, 2))
    assert 3014 in client.numbers(
        f"BACKUP DATABASE d TO {urls} WITH CHECKSUM, MAXTRANSFERSIZE = 4194304, BLOCKSIZE = 65536"
    )
    sizes = {blob.name: blob.size for blob in place.container.list_blobs(name_starts_with="a/")}
    assert sorted(sizes) == ["a/stripe1.bak", "a/stripe2.bak"]
    assert min(sizes.values()) > 5_000_000
    media = (
        "SELECT device_type, family_sequence_number FROM"
        " msdb.dbo.backupmediafamily ORDER BY family_sequence_number"
    )
    assert client.rows(media) == [(9, 1), (9, 2)]
    assert client.numbers(f"RESTORE VERIFYONLY FROM {urls} WITH CHECKSUM") == [3262]
    folder = client.value("SELECT SERVERPROPERTY('InstanceDefaultDataPath')")
    client.run(
        f"RESTORE DATABASE r FROM {urls} WITH MOVE N'd' TO"
        f" N'{folder}r.mdf', MOVE N'd_log' TO N'{folder}r.ldf'"
    )
    assert client.rows("SELECT COUNT(*), SUM(DATALENGTH(Fill)) FROM r.dbo.Items") == [(60, 12_000_000)]
    client.run("DROP DATABASE r")


def test_an_existing_blob_is_not_overwritten_without_format(place: Place) -> None:
    backup = f"BACKUP DATABASE d TO URL = N'{place.url}/taken.bak'"
    place.client.run(backup)
    assert place.client.error(backup) == 3296
    place.client.run(f"{backup} WITH FORMAT")


@pytest.mark.parametrize(
    ("change", "number"),
    [
        (lambda url: url.replace("https://", "http://"), 3297),
        (lambda url: url + "?sv=2021", 3297),
        (lambda url: url.replace("/landing/", "/elsewhere/"), 3201),
    ],
    ids=["http", "query string", "no credential"],
)
def test_urls_that_cannot_be_used_are_refused(place: Place, change, number: int) -> None:  # type: ignore[no-untyped-def]
    address = change(f"{place.url}/x.bak")
    found, text = place.client.refusal(f"BACKUP DATABASE d TO URL = N'{address}' WITH COPY_ONLY")
    assert found == number
    if number == 3201:
        assert "Operating system error 50(The request is not supported.)" in text


@pytest.mark.parametrize("fault", ["expired", "read only", "leading question mark"])
def test_a_signature_that_does_not_allow_it_ends_with_403_and_is_never_shown(
    place: Place, fault: str
) -> None:
    secrets = {
        "expired": place.signature(hours=-1),
        "read only": place.signature("rl"),
        "leading question mark": "?" + place.signature(),
    }
    place.credential(secrets[fault])
    try:
        number, text = place.client.refusal(
            f"BACKUP DATABASE d TO URL = N'{place.url}/{fault[0]}.bak' WITH COPY_ONLY"
        )
    finally:
        place.credential(place.signature())
    assert number == 3271
    assert "(403) Forbidden" in text
    assert "sig=" not in text


def test_a_missing_blob_cannot_be_restored(place: Place) -> None:
    assert place.client.error(f"RESTORE HEADERONLY FROM URL = N'{place.url}/never.bak'") == 3201


def test_credentials_are_listed_without_their_secret(place: Place) -> None:
    assert place.client.rows("SELECT name, credential_identity FROM sys.credentials") == [
        (place.url, "SHARED ACCESS SIGNATURE")
    ]
    assert place.client.error(f"CREATE CREDENTIAL [{place.url}] WITH IDENTITY = 'x', SECRET = 'y'") == 15530
    assert place.client.error("DROP CREDENTIAL [never]") == 15151
