from __future__ import annotations

import json
import socket
import uuid

import pytest
from pydantic import SecretStr

from shared.errors import (
    BackupSystemError,
    InvalidRequestError,
    InvalidSettingsError,
    NotPermittedError,
    StoreError,
    UnreachableError,
)
from shared.octopus import api
from shared.octopus.api import OctopusApi
from tests.stores.octopus.scripted_server import TOKEN, Answer, OctopusAt, ScriptedServer

AGENT = str(uuid.UUID(int=7))


def event(name: str, /, **data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


TURN = [
    event("turn_start", turn_id="t-1"),
    event("tool_call", name="recall"),
    event("tool_result", name="recall"),
    event("token", text="Marga"),
    event("token", text="rethe ✓"),
    event("turn_end", turn_id="t-1", total_tokens=2, elapsed_ms=12),
]


def unused_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


class TestHealth:
    def test_a_healthy_answer_is_evidence(self, server: ScriptedServer, octopus: OctopusApi) -> None:
        server.answer = Answer([b'{"status":"Healthy"}'], type="application/json")
        evidence = octopus.health()
        assert evidence.healthy
        assert (evidence.status, evidence.detail) == (200, '{"status":"Healthy"}')
        assert evidence.milliseconds >= 0

    def test_an_unhealthy_answer_is_evidence_and_no_error(
        self, server: ScriptedServer, octopus: OctopusApi
    ) -> None:
        server.answer = Answer([b"no\n  database"], status=503)
        evidence = octopus.health()
        assert not evidence.healthy
        assert (evidence.status, evidence.detail) == (503, "no database")

    def test_no_answer_is_evidence_and_no_error(self, octopus_at: OctopusAt) -> None:
        evidence = octopus_at(unused_address()).health()
        assert evidence.status is None
        assert evidence.detail == "No answer: no connection."

    def test_the_token_is_not_shown_to_the_health_path(
        self, server: ScriptedServer, octopus: OctopusApi
    ) -> None:
        octopus.health()
        assert "authorization" not in server.seen[0].headers

    def test_the_address_may_have_a_path_of_its_own(
        self, server: ScriptedServer, octopus_at: OctopusAt
    ) -> None:
        octopus_at(f"{server.url}/octopus", health_path="/healthz").health()
        assert server.seen[0].path == "/octopus/healthz"

    def test_without_an_address_the_setting_is_named(self, octopus_at: OctopusAt) -> None:
        with pytest.raises(InvalidSettingsError, match="OCTOPUS_API_URL"):
            octopus_at(None).health()

    def test_a_path_without_a_slash_is_a_wrong_setting(
        self, server: ScriptedServer, octopus_at: OctopusAt
    ) -> None:
        with pytest.raises(InvalidSettingsError, match="OCTOPUS_HEALTH_PATH"):
            octopus_at(server.url, health_path="@evil.example/x").health()
        assert server.seen == []


class TestConversation:
    def test_a_turn_is_read_to_its_end(self, server: ScriptedServer, octopus: OctopusApi) -> None:
        server.answer = Answer(TURN)
        turn = octopus.converse(AGENT, "Who signs?")
        assert turn.complete
        assert (turn.status, turn.text, turn.tokens, turn.turn_id) == (200, "Margarethe ✓", 2, "t-1")
        assert turn.events == ["turn_start", "tool_call", "tool_result", "token", "token", "turn_end"]
        (seen,) = server.seen
        assert seen.path == "/api/chat/octopus-backup-01J0000000000000000000000/send"
        assert seen.headers["authorization"] == f"Bearer {TOKEN}"
        assert json.loads(seen.body) == {"agentId": AGENT, "message": "Who signs?"}

    def test_events_may_be_cut_anywhere_and_end_lines_with_cr_lf(
        self, server: ScriptedServer, octopus: OctopusApi
    ) -> None:
        whole = b": a comment\r\n\r\n" + b"".join(TURN).replace(b"\n", b"\r\n")
        server.answer = Answer([whole[at : at + 7] for at in range(0, len(whole), 7)])
        assert octopus.converse(AGENT, "?").text == "Margarethe ✓"

    def test_a_stream_that_ends_without_turn_end_is_not_complete(
        self, server: ScriptedServer, octopus: OctopusApi
    ) -> None:
        server.answer = Answer([*TURN[:4], event("error", code="sqlserver_failed"), b"event: turn_end\n"])
        turn = octopus.converse(AGENT, "?")
        assert not turn.complete
        assert turn.turn_id is None
        assert turn.events[-1] == "error"

    def test_a_turn_without_a_token_is_not_complete(
        self, server: ScriptedServer, octopus: OctopusApi
    ) -> None:
        server.answer = Answer([TURN[0], TURN[-1]])
        assert not octopus.converse(AGENT, "?").complete

    def test_what_comes_after_the_end_is_not_waited_for(
        self, server: ScriptedServer, octopus: OctopusApi
    ) -> None:
        server.answer = Answer([b"".join(TURN), event("late")], pause=0.3)
        turn = octopus.converse(AGENT, "?")
        assert turn.events[-1] == "turn_end"
        assert len(turn.events) == len(TURN)

    def test_data_that_is_no_json_object_counts_as_empty(
        self, server: ScriptedServer, octopus: OctopusApi
    ) -> None:
        server.answer = Answer([b"event: token\ndata: [1]\n\n", b"event: token\ndata: {\n\n", TURN[-1]])
        turn = octopus.converse(AGENT, "?")
        assert (turn.tokens, turn.text, turn.complete) == (2, "", True)

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refused_token_says_which_setting_to_look_at(
        self, server: ScriptedServer, octopus: OctopusApi, status: int
    ) -> None:
        server.answer = Answer([b"no"], status=status)
        with pytest.raises(NotPermittedError, match="OCTOPUS_API_TOKEN"):
            octopus.converse(AGENT, "?")

    @pytest.mark.parametrize("status", [302, 404, 500])
    def test_any_other_status_is_told(self, server: ScriptedServer, octopus: OctopusApi, status: int) -> None:
        server.answer = Answer([b"oh no"], status=status, headers={"Location": f"{server.url}/elsewhere"})
        with pytest.raises(StoreError, match=f"HTTP {status}: oh no"):
            octopus.converse(AGENT, "?")
        assert len(server.seen) == 1, "a redirect would carry the token elsewhere"

    def test_a_sign_in_page_is_not_taken_for_a_conversation(
        self, server: ScriptedServer, octopus: OctopusApi
    ) -> None:
        server.answer = Answer([b"<html>"], type="text/html; charset=utf-8")
        with pytest.raises(StoreError, match="text/html"):
            octopus.converse(AGENT, "?")

    def test_an_endless_answer_is_given_up(
        self, server: ScriptedServer, octopus: OctopusApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(api, "MOST_BYTES", 10_000)
        server.answer = Answer([b"data: no line ever ends " * 100] * 50)
        with pytest.raises(StoreError, match="more than 10000 bytes"):
            octopus.converse(AGENT, "?")

    def test_endless_events_are_given_up(
        self, server: ScriptedServer, octopus: OctopusApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(api, "MOST_EVENTS", 5)
        server.answer = Answer([TURN[3]] * 50)
        with pytest.raises(StoreError, match="5 events"):
            octopus.converse(AGENT, "?")

    def test_a_chat_that_never_ends_is_cut_off_at_its_deadline_and_is_evidence(
        self, server: ScriptedServer, octopus_at: OctopusAt
    ) -> None:
        server.answer = Answer([TURN[3]] * 20, pause=0.05)
        turn = octopus_at(server.url, conversation_seconds=0.2).converse(AGENT, "?")
        assert turn.cut_off
        assert not turn.complete
        assert 0.2 <= turn.seconds < 0.9
        assert turn.turn_id is None
        assert set(turn.events) == {"token"}

    def test_a_stream_that_falls_silent_is_cut_off(
        self, server: ScriptedServer, octopus_at: OctopusAt
    ) -> None:
        server.answer = Answer([*TURN[:2], TURN[2]], pause=0.3)
        turn = octopus_at(server.url, conversation_seconds=0.1).converse(AGENT, "?")
        assert turn.cut_off
        assert turn.seconds < 0.3

    def test_the_path_of_the_chat_is_a_template(self, server: ScriptedServer, octopus_at: OctopusAt) -> None:
        server.answer = Answer(TURN)
        octopus_at(server.url, chat_path="/v2/sessions/{session}/messages").converse(AGENT, "?")
        assert server.seen[0].path == "/v2/sessions/octopus-backup-01J0000000000000000000000/messages"

    @pytest.mark.parametrize("path", ["chat/{session}", "//evil.example/{session}", "/chat/{sesion}", ""])
    def test_a_path_that_cannot_be_used_names_its_setting(
        self, server: ScriptedServer, octopus_at: OctopusAt, path: str
    ) -> None:
        with pytest.raises(InvalidSettingsError, match="OCTOPUS_CHAT_PATH"):
            octopus_at(server.url, chat_path=path).converse(AGENT, "?")
        assert server.seen == []

    def test_no_connection_can_be_tried_again(self, octopus_at: OctopusAt) -> None:
        with pytest.raises(UnreachableError, match="does not answer") as caught:
            octopus_at(unused_address()).converse(AGENT, "?")
        assert caught.value.retryable

    @pytest.mark.parametrize("agent", ["", "../admin", "7", "agent'; --"])
    def test_a_hostile_agent_id_is_refused_before_anything_is_sent(
        self, server: ScriptedServer, octopus: OctopusApi, agent: str
    ) -> None:
        for call in (octopus.converse, octopus.search_knowledge, octopus.search_episodes):
            with pytest.raises(InvalidRequestError, match="not an agent's id"):
                call(agent, "?")
        assert server.seen == []


class TestSearch:
    def test_both_searches_answer_with_what_was_found(
        self, server: ScriptedServer, octopus: OctopusApi
    ) -> None:
        server.answer = Answer([b'{"items":[{"source":"nonlocal"}]}'], type="application/json")
        assert octopus.search_knowledge(AGENT, "nonlocal") == [{"source": "nonlocal"}]
        server.answer = Answer([b'[{"summary":"Kraken"}]'], type="application/json; charset=utf-8")
        assert octopus.search_episodes(AGENT, "Kraken") == [{"summary": "Kraken"}]
        knowledge, episodes = server.seen
        assert knowledge.path == f"/api/octopus/knowledge/{AGENT}/search"
        assert episodes.path == "/api/octopus/episodes/search"
        assert json.loads(episodes.body)["agentId"] == AGENT

    @pytest.mark.parametrize("body", [b"", b"{", b"{}", b"3", b"[3]", b'{"items":null}', b"\xff"])
    def test_an_answer_that_is_no_list_of_objects_is_told(
        self, server: ScriptedServer, octopus: OctopusApi, body: bytes
    ) -> None:
        server.answer = Answer([body], type="application/json")
        with pytest.raises(StoreError, match="list of objects"):
            octopus.search_knowledge(AGENT, "x")

    def test_the_paths_of_the_searches_are_templates(
        self, server: ScriptedServer, octopus_at: OctopusAt
    ) -> None:
        server.answer = Answer([b"[]"], type="application/json")
        api = octopus_at(server.url, episode_search_path="/e", knowledge_search_path="/k/{agent}")
        api.search_episodes(AGENT, "x")
        api.search_knowledge(AGENT, "x")
        assert [seen.path for seen in server.seen] == ["/e", f"/k/{AGENT}"]


class TestHeaders:
    def test_further_headers_are_sent_with_every_request(
        self, server: ScriptedServer, octopus_at: OctopusAt
    ) -> None:
        headers = SecretStr(json.dumps({"X-Gateway-Key": "canary-gateway-77"}))
        api = octopus_at(server.url, api_headers=headers)
        server.answer = Answer([b"ok"], type="text/plain")
        api.health()
        server.answer = Answer(TURN)
        api.converse(AGENT, "?")
        assert [seen.headers["x-gateway-key"] for seen in server.seen] == ["canary-gateway-77"] * 2

    @pytest.mark.parametrize(
        "text",
        [
            "X-Key: canary-gateway-77",
            '["canary-gateway-77"]',
            '{"X-Key": 7}',
            '{"X Key": "canary-gateway-77"}',
            '{"X-Key": "canary-gateway-77\\r\\nEvil: 1"}',
            '{"Host": "canary-gateway-77"}',
        ],
    )
    def test_headers_that_are_none_name_the_setting_and_not_their_content(
        self, server: ScriptedServer, octopus_at: OctopusAt, text: str
    ) -> None:
        with pytest.raises(InvalidSettingsError, match="OCTOPUS_API_HEADERS") as caught:
            octopus_at(server.url, api_headers=SecretStr(text)).health()
        assert "canary" not in f"{caught.value} {caught.value.__context__}"
        assert server.seen == []

    def test_a_server_that_repeats_a_header_does_not_put_it_into_an_error(
        self, server: ScriptedServer, octopus_at: OctopusAt
    ) -> None:
        headers = SecretStr('{"X-Gateway-Key": "canary-gateway-77"}')
        server.answer = Answer([b"bad key canary-gateway-77"], status=500)
        with pytest.raises(StoreError) as caught:
            octopus_at(server.url, api_headers=headers).converse(AGENT, "?")
        assert "canary" not in str(caught.value)


class TestSecrets:
    @pytest.mark.parametrize("status", [401, 418, 500])
    def test_a_server_that_repeats_the_token_does_not_put_it_into_an_error(
        self, server: ScriptedServer, octopus: OctopusApi, status: int
    ) -> None:
        server.answer = Answer([f"you sent Bearer {TOKEN}".encode()], status=status)
        with pytest.raises(BackupSystemError) as caught:
            octopus.converse(AGENT, "?")
        assert TOKEN not in f"{caught.value} {caught.value.as_dict()} {caught.value.__context__}"

    @pytest.mark.parametrize("token", [f"{TOKEN}\n", f"{TOKEN}é"])
    def test_a_token_with_a_line_break_names_the_setting_and_not_the_token(
        self, server: ScriptedServer, octopus_at: OctopusAt, token: str
    ) -> None:
        with pytest.raises(InvalidSettingsError, match="OCTOPUS_API_TOKEN") as caught:
            octopus_at(server.url, token).converse(AGENT, "?")
        assert TOKEN not in str(caught.value)
