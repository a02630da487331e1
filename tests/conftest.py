"""What every test that talks to Azurite shares: one certificate, and one Azurite for each worker."""

from collections.abc import Iterator

import pytest

from local.azurite import Azurite
from local.certificates import Certificate, make_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificate]:
    """The certificate of every Azurite in this process, trusted by this process and by its children."""
    made = make_certificate(tmp_path_factory.mktemp("tls"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            patch.setenv(name, str(made.certificate))
        yield made


@pytest.fixture(scope="session")
def azurite(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """An Azurite that tests share, so each uses names of its own."""
    server = Azurite(tmp_path_factory.mktemp("azurite"), certificate=certificate).start()
    yield server
    server.stop()
