"""Azurite as the local stack runs it: over TLS, with SAS, and able to go away and come back."""

from __future__ import annotations

import base64
import json
import ssl
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import (
    BlobClient,
    BlobServiceClient,
    ContainerSasPermissions,
    generate_blob_sas,
    generate_container_sas,
)
from cryptography import x509

from local.azurite import ACCOUNT, Azurite
from local.certificates import make_certificate
from local.processes import ChildFailedError


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    server = Azurite(tmp_path_factory.mktemp("azurite")).start()
    yield server
    server.stop()


def client(azurite: Azurite) -> BlobServiceClient:
    return BlobServiceClient(
        azurite.url, credential=azurite.account_key, connection_verify=str(azurite.certificate), retry_total=0
    )


def test_a_blob_is_read_back_over_tls(azurite: Azurite) -> None:
    with client(azurite) as service:
        container = service.create_container("round-trip")
        container.upload_blob("hello.txt", b"hello")
        assert container.download_blob("hello.txt").readall() == b"hello"


def test_plain_http_is_not_served(azurite: Azurite) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(azurite.url.replace("https://", "http://"), trust_env=False)


def test_a_client_that_does_not_know_the_certificate_refuses_it(azurite: Azurite) -> None:
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(azurite.url, verify=ssl.create_default_context(), trust_env=False)


def test_a_create_only_sas_cannot_overwrite(azurite: Azurite) -> None:
    with client(azurite) as service:
        service.create_container("create-only")
    sas = generate_container_sas(
        ACCOUNT,
        "create-only",
        account_key=azurite.account_key,
        permission=ContainerSasPermissions(create=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    with BlobServiceClient(
        azurite.url, credential=sas, connection_verify=str(azurite.certificate), retry_total=0
    ) as service:
        blob = service.get_blob_client("create-only", "once")
        blob.upload_blob(b"first")
        with pytest.raises(HttpResponseError) as refused:
            blob.upload_blob(b"second", overwrite=True)
        assert refused.value.status_code == 403


class AnyIdentity:
    """A token that Azurite's ``--oauth basic`` takes: it reads the claims and checks no signature."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        now, nobody = int(time.time()), "00000000-0000-0000-0000-000000000000"
        claims = {
            "aud": "https://storage.azure.com",
            "iss": f"https://sts.windows.net/{nobody}/",
            "oid": nobody,
            "tid": nobody,
            "iat": now,
            "nbf": now - 60,
            "exp": now + 3600,
        }
        parts = [json.dumps({"alg": "none"}), json.dumps(claims), "signature"]
        text = ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)
        return AccessToken(text, now + 3600)


def test_an_identity_can_hand_out_a_user_delegation_sas(azurite: Azurite) -> None:
    certificate = str(azurite.certificate)
    with client(azurite) as service:
        service.create_container("delegated").upload_blob("a", b"read by SAS")
    with BlobServiceClient(
        azurite.url, credential=AnyIdentity(), connection_verify=certificate, retry_total=0
    ) as service:
        now = datetime.now(UTC)
        key = service.get_user_delegation_key(now - timedelta(minutes=5), now + timedelta(hours=1))
    sas = generate_blob_sas(
        ACCOUNT,
        "delegated",
        "a",
        user_delegation_key=key,
        permission="r",
        expiry=now + timedelta(minutes=30),
    )
    with BlobClient.from_blob_url(
        f"{azurite.url}/delegated/a?{sas}", connection_verify=certificate, retry_total=0
    ) as blob:
        assert blob.download_blob().readall() == b"read by SAS"
        with pytest.raises(HttpResponseError):
            blob.delete_blob()


def test_data_survives_a_restart_on_the_same_port(tmp_path: Path) -> None:
    server = Azurite(tmp_path).start()
    try:
        url = server.url
        with client(server) as service:
            service.create_container("kept").upload_blob("a", b"1")
        server.stop()
        assert not server.child.alive
        server.start()
        assert server.url == url
        with client(server) as service:
            assert service.get_blob_client("kept", "a").download_blob().readall() == b"1"
        server.kill()
        assert not server.child.alive
    finally:
        server.stop()


def test_a_port_in_use_is_reported_with_the_end_of_the_log(azurite: Azurite, tmp_path: Path) -> None:
    port = int(azurite.url.split(":")[2].split("/")[0])
    with pytest.raises(ChildFailedError, match="EADDRINUSE"):
        Azurite(tmp_path, port=port).start()


def test_the_certificate_is_bounded_in_time_and_its_key_is_private(tmp_path: Path) -> None:
    made = make_certificate(tmp_path / "tls", days=3)
    certificate = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=2) < left <= timedelta(days=3)
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
