"""HTTP functions: routes, methods, keys and what a caller is told."""

from __future__ import annotations

import httpx
import pytest

from tests.local.functions_host.hosted import FUNCTION_KEY, MASTER_KEY, Hosted


def test_an_anonymous_function_needs_no_key_and_the_app_sees_no_key(host: Hosted) -> None:
    answer = host.call("GET", "/api/health", key="")
    assert answer.status_code == 200
    assert answer.json()["ok"] is True
    assert not [name for name in answer.json()["sees keys"] if name.startswith("LOCAL_")]


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/api/ticks", "", 401),
        ("/api/ticks", "wrong", 401),
        ("/api/ticks", FUNCTION_KEY, 200),
        ("/api/ticks", MASTER_KEY, 200),
        ("/api/admin-only", FUNCTION_KEY, 401),
        ("/api/admin-only", MASTER_KEY, 200),
        ("/admin/host/status", FUNCTION_KEY, 401),
        ("/admin/host/status", MASTER_KEY, 200),
        ("/_host/redeliver", FUNCTION_KEY, 401),
    ],
)
def test_a_key_opens_its_level_and_no_other(host: Hosted, path: str, key: str, status: int) -> None:
    method = "POST" if "redeliver" in path else "GET"
    assert host.call(method, path, key=key).status_code == status


def test_a_key_may_be_part_of_the_address(host: Hosted) -> None:
    assert host.call("GET", f"/api/ticks?code={FUNCTION_KEY}", key="").status_code == 200


def test_route_values_are_decoded_but_for_slashes_and_literals_ignore_case(host: Hosted) -> None:
    answer = host.call("POST", "/api/ECHO/a%20b%2Fc/7?x=1&x=2", content="body")
    assert answer.json() == {
        "route": {"name": "a b%2Fc", "number": "7"},
        "query": {"x": "1,2"},
        "body": "body",
    }
    assert answer.headers["set-cookie"] == "seen=1; Path=/; HttpOnly"
    assert host.call("GET", "/api/echo/a").json()["route"] == {"name": "a"}


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/api/echo/a"), ("HEAD", "/api/health"), ("GET", "/api/echo/a/seven"), ("GET", "/nowhere")],
)
def test_what_no_function_listens_to_is_404_also_a_wrong_method(host: Hosted, method: str, path: str) -> None:
    assert host.call(method, path).status_code == 404


def test_an_exception_is_500_without_a_word_and_is_logged(host: Hosted) -> None:
    answer = host.call("GET", "/api/boom")
    assert (answer.status_code, answer.content) == (500, b"")
    assert "the text of an exception" in host.child.log.read_text()


def test_the_host_listens_on_loopback_only(host: Hosted) -> None:
    assert httpx.URL(host.url).host == "127.0.0.1"
    assert sorted(host.call("GET", "/admin/host/status", key=MASTER_KEY).json()["functions"]) == sorted(
        host.child.ready["functions"]
    )
