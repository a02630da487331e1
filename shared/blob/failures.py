"""What the storage SDK raises, turned into this system's errors.

The SDK's own texts are never passed on: they can hold a whole address with its SAS, and what the service says
about a wrong signature quotes it. Only the HTTP status and the service's error code are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from requests.exceptions import SSLError

from shared.errors import (
    AlreadyExistsError,
    BackupSystemError,
    ConflictError,
    NotFoundError,
    NotPermittedError,
    StorageError,
    UnreachableError,
)

# Error codes of the service: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
_EXISTS = {"BlobAlreadyExists", "ContainerAlreadyExists", "ResourceAlreadyExists"}
_CHANGED = {"ConditionNotMet", "TargetConditionNotMet", "SourceConditionNotMet"}
_DIGEST = {"Md5Mismatch", "Crc64Mismatch"}

_WRONG_KEY = (
    "Check BACKUP_STORAGE_CREDENTIAL (the account's key, not expired or rotated) or the signed-in identity, "
    "and that this machine's clock is right."
)
_DENIED_HINTS = {
    "AuthenticationFailed": _WRONG_KEY,
    "InvalidAuthenticationInfo": _WRONG_KEY,
    "AuthorizationPermissionMismatch": "Give the identity its role on the storage account; a new role "
    "assignment takes up to ten minutes to work.",
    "AuthorizationFailure": "The account's network rules may not let this machine in, or a right is missing.",
    "KeyBasedAuthenticationNotPermitted": "The account takes no keys: leave BACKUP_STORAGE_CREDENTIAL empty "
    "and use an identity.",
}
_HINTS = {
    "ContainerNotFound": "Create the containers data, catalogue, state and landing in the storage account.",
    "BlobArchived": "It is in the archive tier: set its tier to Hot and wait until it is rehydrated (hours).",
    "BlobImmutableDueToPolicy": "The container's immutability policy protects it; that is meant.",
}


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise what the SDK raises inside the block as an error of ours.

    Args:
        doing: what is being tried, as the end of "… failed to", for instance ``read data/x``; no secrets.

    Raises:
        UnreachableError: no answer, or a passing trouble of the service (408, 429, 5xx) that outlasted the
            retries.
        NotPermittedError: 401, 403, or a credential that cannot be used.
        NotFoundError: the blob is not there.
        AlreadyExistsError: If-None-Match did not hold.
        ConflictError: If-Match did not hold.
        StorageError: anything else, with the service's code.
    """
    try:
        yield
    except AzureError as error:
        # The chain is cut because tracebacks print every link of it, and the SDK's text is not safe.
        raise failure(error, doing) from None


def failure(error: AzureError, doing: str) -> BackupSystemError:
    """The error of ours that stands for an error of the SDK; see ``translated``."""
    if isinstance(error, HttpResponseError) and (error.status_code or 0) >= 400:
        return _answered(int(error.status_code or 0), _code_of(error), doing)
    if isinstance(error, ClientAuthenticationError):  # before anything was sent
        return NotPermittedError(
            f"There is no usable credential to {doing} in Blob Storage.",
            "Set BACKUP_STORAGE_CREDENTIAL to the account's key (base64), or leave it empty and use a "
            "managed identity or `az login`.",
        )
    if isinstance(error.inner_exception, SSLError):
        return UnreachableError(
            f"Blob Storage's certificate is not trusted; could not {doing}.",
            "Check the host in BACKUP_STORAGE_URL. A certificate of one's own is trusted by naming its file "
            "in REQUESTS_CA_BUNDLE.",
        )
    return UnreachableError(
        f"Blob Storage does not answer; could not {doing}.",
        "Check BACKUP_STORAGE_URL, the network and the account's firewall.",
    )


def _code_of(error: HttpResponseError) -> str:
    found = getattr(error, "error_code", None)  # the SDK sets it on errors whose reply says what it is
    return str(getattr(found, "value", found) or "no code")


def _answered(status: int, code: str, doing: str) -> BackupSystemError:
    said = f"(HTTP {status}, {code})"
    if status in (401, 403) or code == "InvalidAuthenticationInfo":
        return NotPermittedError(
            f"Blob Storage refused to {doing} {said}.", _DENIED_HINTS.get(code, _WRONG_KEY)
        )
    if code in _EXISTS:
        return AlreadyExistsError(f"Blob Storage could not {doing}: that name is taken {said}.")
    if status == 412 or code in _CHANGED:
        return ConflictError(f"Blob Storage could not {doing}: it was changed meanwhile {said}.")
    if status == 404 and code != "ContainerNotFound":
        return NotFoundError(f"Blob Storage could not {doing}: it is not there {said}.")
    if status in (408, 429) or (status >= 500 and status not in (501, 505)):
        return UnreachableError(
            f"Blob Storage is in trouble; could not {doing} {said}.",
            "Usually this passes. The Azure status page tells when it does not.",
        )
    problem = StorageError(f"Blob Storage could not {doing} {said}.", _HINTS.get(code, ""))
    problem.retryable = code in _DIGEST  # bytes were damaged on their way; the next try sends them again
    return problem
