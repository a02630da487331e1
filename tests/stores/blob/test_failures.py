"""Everything that Blob Storage refuses becomes one clear error of ours, without a secret in it."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob import BlobClient, BlobSasPermissions, generate_blob_sas

from local.azurite import ACCOUNT, Azurite
from shared.blob import documents
from shared.blob.copy import reference
from shared.blob.download import read
from shared.blob.failures import translated
from shared.blob.storage import Storage
from shared.blob.upload import upload
from shared.errors import (
    BackupSystemError,
    ConflictError,
    NotPermittedError,
    StorageError,
    UnreachableError,
)
from shared.model.backups import BlobRef
from tests.stores.blob.support import CANARY, Proxy, closed_port, storage_at

WRONG_KEY = base64.b64encode(b"canary: a key that must never be seen, 64 bytes like those of Azure").decode()
REF = BlobRef(container="data", name="1.bak", size=1, etag='"0x1"')

Use = Callable[[Storage], object]
USES: dict[str, Use] = {
    "upload": lambda storage: upload(storage, "data", "1.bak", [b"x"], attempt="a1"),
    "download": lambda storage: list(read(storage, REF)),
    "reference": lambda storage: reference(storage, "data", "1.bak"),
    "create": lambda storage: documents.create(storage, "state", "a.json", {}),
    "replace": lambda storage: documents.replace(storage, "state", "a.json", {}, '"0x1"'),
    "put": lambda storage: documents.put(storage, "state", "a.json", {}),
    "read": lambda storage: documents.read(storage, "state", "a.json"),
    "entries": lambda storage: list(documents.entries(storage, "state", "")),
    "folders": lambda storage: documents.folders(storage, "state", ""),
    "delete": lambda storage: documents.delete(storage, "state", "a.json"),
    "containers": lambda storage: storage.ensure_containers(),
}
every_use = pytest.mark.parametrize("use", USES.values(), ids=USES.keys())


@pytest.fixture
def all_logs(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def everything_said(error: BaseException, logs: pytest.LogCaptureFixture) -> str:
    """The error, its traceback as a log prints it, its plain data, and all that was logged at any level."""
    told = "".join(traceback.format_exception(error))
    data = str(error.as_dict()) if isinstance(error, BackupSystemError) else ""
    return "\n".join([str(error), repr(error), told, data, logs.text])


@every_use
def test_a_wrong_key_is_not_permitted_and_is_not_shown(
    storage: Storage, azurite: Azurite, use: Use, all_logs: pytest.LogCaptureFixture
) -> None:
    with storage_at(azurite.url, WRONG_KEY) as opened, pytest.raises(NotPermittedError) as refused:
        use(opened)
    assert "BACKUP_STORAGE_CREDENTIAL" in refused.value.hint
    assert WRONG_KEY not in everything_said(refused.value, all_logs)


def test_a_key_that_is_no_key_is_not_permitted_and_is_not_shown(
    storage: Storage, azurite: Azurite, all_logs: pytest.LogCaptureFixture
) -> None:
    with storage_at(azurite.url, "canary!") as opened, pytest.raises(NotPermittedError) as refused:
        documents.read(opened, "state", "a.json")
    assert "no usable credential" in refused.value.message
    assert "canary!" not in everything_said(refused.value, all_logs)


def test_a_wrong_sas_is_not_permitted_and_is_not_shown(
    storage: Storage, azurite: Azurite, all_logs: pytest.LogCaptureFixture
) -> None:
    token = generate_blob_sas(
        ACCOUNT,
        "data",
        "1.bak",
        account_key=WRONG_KEY,
        permission=BlobSasPermissions(read=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    signature = token.rpartition("sig=")[2]
    blob = BlobClient.from_blob_url(f"{storage.address('data', '1.bak')}?{token}", retry_total=0)
    with blob, pytest.raises(NotPermittedError) as refused, translated("read data/1.bak"):
        blob.download_blob()
    error = everything_said(refused.value, all_logs).replace(all_logs.text, "")
    assert signature not in error


@every_use
def test_what_the_service_says_is_not_passed_on_because_it_can_quote_a_sas(
    troubled: Storage, proxy: Proxy, use: Use, all_logs: pytest.LogCaptureFixture
) -> None:
    proxy.answer(lambda _: True, 403, "AuthorizationFailure", times=9)
    with pytest.raises(NotPermittedError) as refused:
        use(troubled)
    assert CANARY not in everything_said(refused.value, all_logs)


def test_a_sas_of_an_unreachable_host_is_not_shown(all_logs: pytest.LogCaptureFixture) -> None:
    address = f"http://127.0.0.1:{closed_port()}/{ACCOUNT}/data/1.bak?sig=canary"
    blob = BlobClient.from_blob_url(address, retry_total=0)
    with blob, pytest.raises(UnreachableError) as failed, translated("read data/1.bak"):
        blob.download_blob()
    assert "canary" not in everything_said(failed.value, all_logs).replace(all_logs.text, "")


@every_use
def test_an_account_that_does_not_answer_is_unreachable_after_bounded_retries(use: Use) -> None:
    nobody = f"http://127.0.0.1:{closed_port()}/{ACCOUNT}"
    with (
        storage_at(nobody, WRONG_KEY) as opened,
        pytest.raises(UnreachableError, match="does not answer") as failed,
    ):
        use(opened)
    assert failed.value.retryable
    assert "BACKUP_STORAGE_URL" in failed.value.hint


def test_a_certificate_that_is_not_trusted_is_named_as_the_reason(
    azurite: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with (
        storage_at(azurite.url, azurite.account_key) as opened,
        pytest.raises(UnreachableError, match="certificate") as failed,
    ):
        documents.read(opened, "state", "a.json")
    assert "REQUESTS_CA_BUNDLE" in failed.value.hint


def test_a_missing_container_is_not_taken_for_a_missing_blob(storage: Storage) -> None:
    storage.container("landing").delete_container()
    with pytest.raises(StorageError, match="ContainerNotFound"):
        documents.read(storage, "landing", "a.json")


@pytest.mark.parametrize(
    ("status", "code", "expected", "hint"),
    [
        (403, "AuthorizationFailure", NotPermittedError, "network rules"),
        (403, "AuthorizationPermissionMismatch", NotPermittedError, "role"),
        (409, "BlobArchived", StorageError, "archive tier"),
        (409, "BlobImmutableDueToPolicy", StorageError, "immutability"),
        (412, "ConditionNotMet", ConflictError, ""),
        (429, "TooManyRequests", UnreachableError, "passes"),
        (500, "InternalError", UnreachableError, "passes"),
        (501, "NotImplemented", StorageError, ""),
        (400, "InvalidHeaderValue", StorageError, ""),
    ],
)
def test_what_the_service_answers_keeps_its_code_and_says_what_to_do(
    troubled: Storage, proxy: Proxy, status: int, code: str, expected: type[BackupSystemError], hint: str
) -> None:
    proxy.answer(lambda _: True, status, code, times=9)
    with pytest.raises(expected, match=f"HTTP {status}, {code}") as failed:
        documents.put(troubled, "state", "a.json", {})
    assert type(failed.value) is expected
    assert hint in failed.value.hint
