from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from local.octopus import loading
from local.processes import start
from shared.clock import SystemClock
from shared.errors import NotPermittedError
from shared.octopus.api import OctopusApi
from shared.settings import OctopusSettings
from tests.local.octopus.octopus import TOKEN, Octopus

NOBODY = str(uuid.UUID(int=1))
TO_NOBODY = b'{"agentId": "%s", "message": "hello there"}' % NOBODY.encode()


def client_of(octopus: Octopus, token: str = TOKEN) -> OctopusApi:
    settings = OctopusSettings.model_construct(
        api_url=octopus.url, api_token=SecretStr(token), health_path="/health", wait_seconds=1
    )
    return OctopusApi(settings, SystemClock())


def send_document(octopus: Octopus, agent: str, text: bytes, **fields: str) -> httpx.Response:
    return octopus.http.post(
        f"/api/octopus/knowledge/{agent}/documents",
        files={"file": ("note.txt", text, "text/plain")},
        data={"waitForIndexing": "true", **fields},
    )


def error_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_the_checklists_client_gets_health_a_conversation_and_both_searches(octopus: Octopus) -> None:
    client = client_of(octopus)
    assert client.health().healthy
    proof = loading.RECALL_PROOF
    turn = client.converse(octopus.agent(proof.agent), proof.question)
    assert turn.complete
    assert proof.answer in turn.text
    assert turn.events[:5] == ["turn_start", "tool_call", "tool_result", "tool_call", "tool_result"]
    assert "no language model" in turn.text
    found = client.search_episodes(octopus.agent(proof.agent), proof.question)
    assert any(proof.answer in one["messages"][0]["content"] for one in found)
    name, question, source = loading.SEARCH_PROOF
    assert client.search_knowledge(octopus.agent(name), question)[0]["source"] == source


def test_a_conversation_is_remembered_as_a_new_episode(octopus: Octopus) -> None:
    agent = octopus.http.post("/api/octopus/agents", json={"name": "Listener"}).json()["agentId"]
    client_of(octopus).converse(agent, "My favourite colour is vermilion.")
    page = octopus.http.get("/api/octopus/episodes", params={"agentId": agent}).json()
    assert page["totalCount"] == 1
    assert "vermilion" in page["items"][0]["summary"]
    assert "vermilion" in client_of(octopus).converse(agent, "Which colour, vermilion?").text


def test_asking_the_same_again_and_again_still_recalls_what_was_told(octopus: Octopus) -> None:
    agent = octopus.http.post("/api/octopus/agents", json={"name": "Patient"}).json()["agentId"]
    client = client_of(octopus)
    client.converse(agent, "Remember that the boat is called Ondine.")
    answers = [client.converse(agent, "What is the name of the boat?").text for _ in range(4)]
    assert len({answer.partition("\n")[0] for answer in answers}) == 1
    assert "boat is called Ondine" in answers[0]


def test_episodes_come_in_pages_newest_first(octopus: Octopus) -> None:
    agent = octopus.agent("Types and objects")
    seen: list[dict[str, Any]] = []
    for page in (1, 2, 3):
        reply = octopus.http.get(
            "/api/octopus/episodes", params={"agentId": agent, "page": page, "pageSize": 5}
        ).json()
        seen += reply["items"]
    assert len({one["episodeId"] for one in seen}) == len(seen) == reply["totalCount"]
    assert [one["createdAt"] for one in seen] == sorted((one["createdAt"] for one in seen), reverse=True)
    assert octopus.http.get("/api/octopus/episodes").json()["totalCount"] > len(seen)


def test_an_uploaded_document_can_be_searched_at_once(octopus: Octopus) -> None:
    agent = octopus.http.post("/api/octopus/agents", json={"name": "Librarian"}).json()["agentId"]
    reply = send_document(octopus, agent, b"Octopuses have three hearts.", category="biology").json()
    assert (reply["status"], reply["chunkCount"]) == ("Indexed", 1)
    assert reply["indexedAt"].endswith("Z")
    (hit,) = client_of(octopus).search_knowledge(agent, "hearts of octopuses")
    assert (hit["source"], hit["category"], hit["agentId"]) == ("note.txt", "biology", agent)


def test_without_the_token_only_health_answers(octopus: Octopus) -> None:
    assert httpx.get(f"{octopus.url}/health", trust_env=False).status_code == 200
    reply = httpx.get(f"{octopus.url}/api/octopus/agents", trust_env=False)
    assert error_of(reply) == (401, "unauthorized")
    assert reply.headers["www-authenticate"] == "Bearer"
    with pytest.raises(NotPermittedError):
        client_of(octopus, "another-token").converse(NOBODY, "hello there")


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/api/octopus/agents", b"{", (400, "bad_request")),
        ("POST", "/api/octopus/agents", b'{"name": " "}', (400, "bad_request")),
        ("POST", "/api/octopus/agents", b'{"name": "a", "nmae": "b"}', (400, "bad_request")),
        ("POST", "/api/octopus/agents", b'{"name": "Statements"}', (409, "agent_exists")),
        ("GET", "/api/octopus/episodes?page=0", b"", (400, "bad_request")),
        ("GET", "/api/octopus/episodes?pageSize=1e9", b"", (400, "bad_request")),
        ("GET", "/api/octopus/episodes?agentId=';--", b"", (400, "bad_request")),
        ("POST", f"/api/octopus/knowledge/{NOBODY}/search", b'{"query": "x"}', (404, "agent_not_found")),
        ("POST", "/api/octopus/knowledge/..%2f..%2fx/search", b'{"query": "x"}', (404, "http_error")),
        ("POST", "/api/octopus/knowledge/x/search", b'{"query": "x"}', (400, "bad_request")),
        ("POST", "/api/chat/s/send", TO_NOBODY, (404, "agent_not_found")),
        ("GET", "/api/nothing", b"", (404, "http_error")),
        ("DELETE", "/api/octopus/agents", b"", (405, "http_error")),
    ],
)  # fmt: skip
def test_bad_input_gets_one_clear_error(
    octopus: Octopus, method: str, path: str, body: bytes, expected: tuple[int, str]
) -> None:
    assert error_of(octopus.http.request(method, path, content=body)) == expected


def test_bad_documents_get_one_clear_error(octopus: Octopus) -> None:
    agent = octopus.agent("Statements")
    assert error_of(send_document(octopus, agent, b"\xff\xfe")) == (400, "bad_request")
    assert error_of(send_document(octopus, agent, b" \n ")) == (400, "empty_document")
    assert error_of(send_document(octopus, agent, b"text", waitForIndexing="false")) == (400, "bad_request")
    assert error_of(send_document(octopus, agent, b"x" * 5_000_000)) == (413, "too_large")
    nothing = octopus.http.post(f"/api/octopus/knowledge/{agent}/documents", data={"waitForIndexing": "true"})
    assert error_of(nothing) == (400, "bad_request")


def test_a_message_without_telling_words_is_refused_before_the_stream_begins(octopus: Octopus) -> None:
    body = {"agentId": octopus.agent("Statements"), "message": "what is the"}
    assert error_of(octopus.http.post("/api/chat/s/send", json=body)) == (400, "no_words")


def test_with_the_stores_gone_health_says_what_is_wrong_and_no_secret(tmp_path: Path) -> None:
    env = {"OCTOPUS_SQL": "DRIVER={none};PWD=canary-5f", "OCTOPUS_QDRANT": "http://127.0.0.1:1"}
    child = start("octopus", [sys.executable, "-m", "local.octopus"], log=tmp_path / "log", env=env)
    try:
        reply = httpx.get(f"{child.ready['url']}/health", trust_env=False)
        refused = httpx.get(f"{child.ready['url']}/api/octopus/agents", trust_env=False)
    finally:
        child.stop()
    assert reply.status_code == 503
    assert [one.partition(":")[0] for one in reply.json()["problems"]] == ["SQL Server", "Qdrant"]
    assert error_of(refused) == (503, "sqlserver_failed")
    assert "canary" not in reply.text + refused.text
    assert child.process.returncode == -signal.SIGTERM, "it ended in order and then by the signal"


def test_without_its_settings_it_says_which_are_missing() -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("OCTOPUS_")}
    ran = subprocess.run(
        [sys.executable, "-m", "local.octopus"], env=env, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("Set OCTOPUS_SQL and OCTOPUS_QDRANT in the environment")
