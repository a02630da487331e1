"""A certificate for the loopback interface, so that the local stack speaks TLS as Azure does.

There is no certificate authority: the certificate signs itself, and whoever has to trust it is given its file
(``REQUESTS_CA_BUNDLE``, ``SSL_CERT_FILE``, or an ``ssl.SSLContext``).
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CLOCKS_MAY_DIFFER = timedelta(hours=1)


@dataclass(frozen=True)
class Certificate:
    """Two PEM files: the certificate, and its private key, readable by its owner only."""

    certificate: Path
    key: Path


def make_certificate(folder: Path, *, days: int = 30) -> Certificate:
    """Make a self-signed certificate for ``127.0.0.1`` and ``localhost``.

    Args:
        folder: where ``cert.pem`` and ``key.pem`` are written; made if missing. Older files are replaced.
        days: how long the certificate is valid from now.

    Returns:
        The paths of both files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    private_key = ec.generate_private_key(ec.SECP256R1())
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    pem = serialization.Encoding.PEM
    made.certificate.write_bytes(_signed(private_key, days).public_bytes(pem))
    made.key.unlink(missing_ok=True)
    descriptor = os.open(made.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(
            private_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
    return made


def _signed(private_key: ec.EllipticCurvePrivateKey, days: int) -> x509.Certificate:
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "octopus-backup local stack")])
    addresses = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    public_key = private_key.public_key()
    key_id = x509.SubjectKeyIdentifier.from_public_key(public_key)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_MAY_DIFFER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(addresses, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        # Python 3.13 verifies strictly (RFC 5280), which asks for both key identifiers.
        .add_extension(key_id, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
        .sign(private_key, hashes.SHA256())
    )
