"""What all tests share: no silent skips in CI, one certificate, and one Azurite for each worker."""

import os
from collections import Counter
from collections.abc import Generator, Iterator

import pytest

from local.azurite import Azurite
from local.certificates import Certificate, make_certificate


def _in_ci() -> bool:
    return os.environ.get("CI") == "true"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that is skipped has failed: nobody reads what was skipped there."""
    report = yield
    if _in_ci() and report.skipped:
        report.outcome, report.longrepr = "failed", f"skipped, which CI does not accept: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Likewise a whole file."""
    report = yield
    if _in_ci() and report.skipped:
        report.outcome, report.longrepr = "failed", f"skipped, which CI does not accept: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many random histories were played, on all workers, and what was checked in them."""
    histories, checked = 0, Counter[str]()
    for report in terminalreporter.stats.get("passed", []):
        for name, counts in report.user_properties:
            if name == "history":
                histories += 1
                checked.update(counts)
    if histories:
        told = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in checked.items())
        terminalreporter.write_line(f"{histories} histories: {told}")


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
