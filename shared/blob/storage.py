"""One storage account: its clients, time-outs and retries, and addresses that others may read from."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.storage.blob import (
    BlobClient,
    BlobSasPermissions,
    BlobServiceClient,
    ContainerClient,
    ExponentialRetry,
    UserDelegationKey,
    generate_blob_sas,
)

from shared.blob.failures import translated
from shared.clock import Clock
from shared.errors import AlreadyExistsError, InvalidSettingsError
from shared.model.backups import BlobRef
from shared.settings import StorageSettings

CONTAINERS: Final = ("data", "catalogue", "state", "landing")

_MIB = 1024 * 1024
_PIECE = 8 * _MIB  # read at a time; what the SDK keeps in memory per download
_LONGEST_READ = timedelta(days=6)
"""How long a read address lasts at most: Microsoft's limit for a user delegation key is 7 days; the last one
is left for the reuse of a key that is already some hours old."""
_KEY_LASTS = timedelta(days=7)
_CLOCKS_MAY_DIFFER = timedelta(minutes=15)  # Microsoft's advice for the start of a SAS


@dataclass(frozen=True)
class Patience:
    """How long a request may take, and how often it is repeated after a passing trouble.

    A request is repeated after a lost connection, a time-out, 408 and 5xx, after about 3, 5, 9 and 17
    seconds, each moved at random by up to one second. Together that stays far below the ten minutes after
    which a lock's holder counts as dead.
    """

    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    retries: int = 4
    backoff_seconds: int = 1

    def policy(self) -> ExponentialRetry:
        """The same as the storage SDK understands it."""
        return _Retry(
            initial_backoff=self.backoff_seconds,
            increment_base=2 * self.backoff_seconds,
            random_jitter_range=self.backoff_seconds,
            retry_total=self.retries,
            retry_connect=self.retries,
            retry_read=self.retries,
            retry_status=self.retries,
        )


class _Retry(ExponentialRetry):
    """The SDK's retries, without those that cannot help."""

    def increment(
        self,
        settings: dict[str, Any],
        request: Any,
        response: Any = None,
        error: AzureError | None = None,
    ) -> bool:
        """Count one more failure; whether to try again."""
        if isinstance(error, ClientAuthenticationError):
            return False  # nobody signs in meanwhile, and the person in front of it waits
        return super().increment(settings, request, response, error)


class Storage:
    """One storage account. Safe to use from several threads.

    Args:
        url: address of the blob service, without a final slash; for Azurite with the account in its path.
        credential: the account's key, or an identity.
        clock: gives the times of read addresses.
        patience: time-outs and retries.
    """

    def __init__(
        self, url: str, credential: str | TokenCredential, clock: Clock, patience: Patience = Patience()
    ) -> None:
        self.url = url.rstrip("/")
        self._clock = clock
        self._account_key = credential if isinstance(credential, str) else None
        self._delegation = _DelegationKey()
        self._service = BlobServiceClient(
            self.url,
            credential=credential,
            retry_policy=patience.policy(),
            connection_timeout=patience.connect_seconds,
            read_timeout=patience.read_seconds,
            max_single_get_size=_PIECE,
            max_chunk_get_size=_PIECE,
        )

    @classmethod
    def open(cls, settings: StorageSettings, clock: Clock) -> Self:
        """The storage account of the settings: with its key if they hold one, else with the identity at hand.

        The identity is the app's managed identity in Azure, a person's ``az login`` on a laptop.

        Raises:
            InvalidSettingsError: an identity's token would have to be sent in the clear.
        """
        if settings.credential is not None:
            return cls(settings.url, settings.credential.get_secret_value(), clock)
        if not settings.url.startswith("https://"):
            raise InvalidSettingsError(
                "BACKUP_STORAGE_URL: is not https, and there is no account key.",
                "Use the https address; the token of an identity is never sent over http.",
            )
        from azure.identity import DefaultAzureCredential  # costs 0.3 s, and a key needs none of it

        return cls(settings.url, DefaultAzureCredential(), clock)

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ensure_containers(self) -> None:
        """Create the containers that are missing; needs no right to create when none is."""
        for name in CONTAINERS:
            container = self.container(name)
            # Another one may create it between the two requests.
            with suppress(AlreadyExistsError), translated(f"create the container {name}"):
                if not container.exists():
                    container.create_container()

    def container(self, name: str) -> ContainerClient:
        """The SDK's client of a container."""
        return self._service.get_container_client(name)

    def client(self, container: str, name: str) -> BlobClient:
        """The SDK's client of a blob."""
        return self._service.get_blob_client(container, name)

    def address(self, container: str, name: str) -> str:
        """The blob's plain address, without any right to it, as SQL Server's ``TO URL`` wants it."""
        return self.client(container, name).url

    def read_url(self, ref: BlobRef, seconds: float) -> str:
        """An address from which whoever has it can read this one blob. It is a secret: never log or keep it.

        Args:
            ref: the blob.
            seconds: how long it is needed; it lasts no longer than six days.

        Raises:
            UnreachableError, NotPermittedError, StorageError: no key could be had for signing it.
        """
        now = self._clock.now()
        until = now + min(timedelta(seconds=seconds), _LONGEST_READ)
        key = None if self._account_key else self._delegation.covering(now, until, self._service)
        token = generate_blob_sas(
            account_name=str(self._service.account_name),
            container_name=ref.container,
            blob_name=ref.name,
            account_key=self._account_key,
            user_delegation_key=key,
            permission=BlobSasPermissions(read=True),
            expiry=until,
            protocol="https" if self.url.startswith("https://") else None,
        )
        return f"{self.address(ref.container, ref.name)}?{token}"


class _DelegationKey:
    """The key with which an identity signs addresses, asked for once and kept while it lasts."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._key: UserDelegationKey | None = None
        self._until: datetime | None = None

    def covering(self, now: datetime, until: datetime, service: BlobServiceClient) -> UserDelegationKey:
        """A key that is still good at ``until``."""
        with self._guard:
            if self._key is None or self._until is None or self._until < until:
                start = now - _CLOCKS_MAY_DIFFER
                with translated("get a user delegation key"):
                    self._key = service.get_user_delegation_key(start, start + _KEY_LASTS)
                self._until = start + _KEY_LASTS
            return self._key
