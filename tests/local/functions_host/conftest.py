"""One running host for all tests that do not disturb each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.local.functions_host.hosted import Hosted


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    with Hosted(tmp_path_factory.mktemp("host") / "host.log") as hosted:
        yield hosted
