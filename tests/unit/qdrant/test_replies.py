"""What an answer means, on the answers that real servers gave; and that no secret survives in an error."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import (
    BackupSystemError,
    IntegrityError,
    NotPermittedError,
    OutcomeUnknownError,
    QdrantError,
    TargetInTheWayError,
)
from shared.stores.qdrant.replies import TEXT_LIMIT, RateLimitedError, Reply, error_of, redact
from tests.unit.qdrant.recordings import VERSIONS, exchange


def recorded(version: str, name: str) -> Reply:
    response = exchange(version, name)["response"]
    body = json.dumps(response["json"]) if "json" in response else response.get("text", "")
    retry_after = response["headers"].get("retry-after")
    return Reply(response["status"], body.encode(), float(retry_after) if retry_after else None)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "error", "code"),
    [
        ("401-no-key", NotPermittedError, "wrong_key"),
        ("402-wrong-key", NotPermittedError, "wrong_key"),
        ("407-read-only-snapshot-create", NotPermittedError, "not_permitted"),
        ("413-read-only-recover", NotPermittedError, "not_permitted"),
        ("016-collection-info-missing", QdrantError, "missing_on_server"),
        ("125-download-missing", QdrantError, "missing_on_server"),
        ("130-snapshot-missing-collection", QdrantError, "missing_on_server"),
        ("237-recover-post", QdrantError, "missing_on_server"),
        ("206-recover-wrong-checksum", IntegrityError, "checksum_mismatch"),
        ("305-upload-wrong-checksum", IntegrityError, "checksum_mismatch"),
        ("213-recover-unreachable", QdrantError, "storage_unreachable_from_server"),
        ("214-recover-unknown-host", QdrantError, "storage_unreachable_from_server"),
        ("215-recover-404-blob", QdrantError, "storage_unreachable_from_server"),
        ("216-recover-expired-sas", QdrantError, "storage_unreachable_from_server"),
        ("273-recover-503", QdrantError, "storage_unreachable_from_server"),
        ("226-recover-other-dimension", TargetInTheWayError, "incompatible_collection"),
        ("227-recover-other-distance", TargetInTheWayError, "incompatible_collection"),
        ("228-recover-other-shard-number", TargetInTheWayError, "incompatible_collection"),
        ("037-alias-equals-collection", QdrantError, "name_taken"),
        ("910-snapshot-create-no-space", QdrantError, "no_space"),
        ("980-recover-name-slash", QdrantError, "refused_by_server"),
        ("922-rate-limited-count", RateLimitedError, "rate_limited"),
    ],
)
def test_a_recorded_answer_becomes_its_error(
    version: str, name: str, error: type[BackupSystemError], code: str
) -> None:
    found = error_of(recorded(version, name), "trying")
    assert type(found) is error
    assert found.specific_code == code
    assert found.message.startswith("Qdrant answered")
    assert found.hint


def test_url_recovery_that_is_switched_off_is_told_from_a_missing_right() -> None:
    found = error_of(recorded("1.19.0", "430-url-recovery-disabled"), "recovering")
    assert (type(found), found.specific_code) == (QdrantError, "url_recovery_disabled")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_pause_that_a_busy_server_asks_for_is_kept(version: str) -> None:
    found = error_of(recorded(version, "922-rate-limited-count"), "counting")
    assert isinstance(found, RateLimitedError)
    assert (found.retry_after, found.retryable) == (15.0, True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["215-recover-404-blob", "216-recover-expired-sas"])
def test_a_sas_that_the_server_repeats_is_hidden(version: str, name: str) -> None:
    reply = recorded(version, name)
    assert "sig=SIGNATURE" in reply.text
    text = str(error_of(reply, "recovering"))
    assert "SIGNATURE" not in text
    assert "se=" not in text
    assert "http://127.0.0.1:17910/devstoreaccount1/backups/" in text


@pytest.mark.parametrize(
    "text",
    [
        "error sending request for url (https://a.blob.core.windows.net/data/x(1).tar?sv=1&sig=SECRET)",
        "https://user:SECRET@example.net/x",
        "api-key: SECRET",
        '{"api_key": "SECRET"}',
        "location=https%3A%2F%2Fa%2Fb%3Fsig%3DSECRET",
        "Authorization: Bearer SECRET",
        "token eyJhbGciOiJIUzI1NiJ9.eyJhY2Nlc3MiOiJyIn0.SECRET",
        "AccountKey=SECRET;EndpointSuffix=core.windows.net",
    ],
)
def test_every_kind_of_secret_is_hidden(text: str) -> None:
    assert "SECRET" not in redact(text)


@given(st.uuids(), st.text(), st.text())
def test_the_key_in_use_never_survives(key: UUID, before: str, after: str) -> None:
    assert str(key) not in redact(f"{before}{key}{after}", str(key))


def test_words_of_a_server_are_cut_to_a_readable_length() -> None:
    cut = redact("begin" + "x" * 10_000 + "end")
    assert len(cut) <= TEXT_LIMIT
    assert (cut[:5], cut[-3:]) == ("begin", "end")


def test_a_gateway_that_gave_up_leaves_the_outcome_unknown() -> None:
    assert isinstance(error_of(Reply(504, b"<html>"), "creating"), OutcomeUnknownError)


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"[]", b"{}", b'{"status": "error"}', b'{"status": {}}', b"null"]
)
def test_a_body_of_any_shape_becomes_an_error(body: bytes) -> None:
    found = error_of(Reply(500, body), "trying")
    assert isinstance(found, QdrantError)
    assert found.status == 500
