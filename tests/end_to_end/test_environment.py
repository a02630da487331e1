"""A look at the environment as it is, and what people say of what it found."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.errors import InvalidRequestError, RefusedError
from shared.model.backups import Kind
from shared.model.checks import CheckRequest
from shared.model.runs import Run
from shared.model.verdicts import VerdictRequest
from shared.workflows import checks, reports, retrying
from tests.end_to_end.octopus_api import guarded
from tests.world import World


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_DELAY_SECONDS", 0.05)


@pytest.fixture
def point(world: World) -> str:
    """A full backup and a recovery point; returns the point's id."""
    world.back_up(Kind.FULL)
    return world.make_point().id


def code(run: Run) -> str:
    assert run.error is not None
    return run.error.code


def check(world: World, **asked: Any) -> tuple[Run, dict[str, Any]]:
    """A look at the environment, and its report."""
    run = world.run(checks.start_check(world.system, CheckRequest(**asked)))
    return run, reports.shown(world.system, reports.find(world.system, run.id))


def verdicts(report: dict[str, Any]) -> list[str]:
    return [item["verdict"] for item in report["checklist"]]


class TestCheckAlone:
    def test_a_healthy_environment_passes_all_five_also_after_more_work(
        self, world: World, point: str, tmp_path: Path
    ) -> None:
        world.work("since the point")
        with guarded(world, tmp_path) as (there, _):
            run, report = check(there, checkdb=True)
            assert run.state == "succeeded", (run.error, [(s.id, s.error) for s in run.steps])
            assert verdicts(report) == ["passed"] * 5
            assert report["recovery_point"]["id"] == point
            (talk,) = report["evidence"]["conversations"]
            assert talk["recalled"] is talk["found"] is True
            assert talk["episode"]
            assert talk["document"]
            assert {row["quality"] for row in report["evidence"]["collections"]} == {"exact"}
            assert there.blobs("catalogue", f"reports/{run.id}/") == [
                f"reports/{run.id}/1.html",
                f"reports/{run.id}/1.json",
            ]

    def test_everything_that_is_wrong_is_told_not_only_the_first(
        self, world: World, point: str, tmp_path: Path
    ) -> None:
        gone = world.collections()[0]
        with guarded(world, tmp_path) as (there, api):
            there.qdrant.delete(f"/collections/{gone}").raise_for_status()
            api.stop()
            run, report = check(there)
        assert (run.state, code(run)) == ("failed", "proof_failed")
        assert verdicts(report) == ["passed", "passed", "failed", "failed", "failed"]
        errors = {one.id: one.error.message for one in run.steps if one.error}
        assert f"'{gone}' is missing" in errors["003-collections"]
        assert "did not answer" in errors["005-health"]

    def test_it_begins_where_it_is_told_to(self, world: World, point: str, tmp_path: Path) -> None:
        with guarded(world, tmp_path) as (there, _):
            run, report = check(there, from_step=4)
        assert run.state == "succeeded"
        assert verdicts(report) == ["skipped"] * 3 + ["passed"] * 2
        assert run.step("001-sql").note == "left out: begun with step 4"

    def test_without_an_api_there_is_nothing_from_step_four_on(self, world: World) -> None:
        with pytest.raises(InvalidRequestError, match="nothing to look at from step 4"):
            checks.start_check(world.system, CheckRequest(from_step=4))

    def test_without_a_recovery_point_what_is_there_is_shown(self, world: World) -> None:
        run, report = check(world)
        assert run.state == "succeeded"
        assert report["recovery_point"] is None
        assert all(row["expected"] is None for row in report["evidence"]["counts"])

    def test_an_emptied_database_does_not_pass_for_a_healthy_one(self, world: World, point: str) -> None:
        with world.admin() as master:
            master.execute(f"DELETE FROM [{world.database}].[dbo].[Octopus_Episodes]")
        run, _ = check(world)
        assert (run.state, code(run)) == ("failed", "proof_failed")
        assert run.error is not None
        assert "Table dbo.Octopus_Episodes is empty" in run.error.message

    def test_a_chat_that_never_ends_fails_within_its_deadline(
        self, world: World, point: str, tmp_path: Path
    ) -> None:
        with (
            guarded(world, tmp_path) as (_, api),
            endless_chat(api.url) as url,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setenv("OCTOPUS_API_URL", url)
            patch.setenv("OCTOPUS_CONVERSATION_SECONDS", "1")
            with world.aside() as there:
                begun = time.monotonic()
                run, report = check(there, from_step=5)
                assert time.monotonic() - begun < 8
        assert (run.state, code(run)) == ("failed", "proof_failed")
        assert run.error is not None
        assert "The turn did not end in time: it was given up after 1 s" in run.error.message
        assert report["evidence"]["conversations"][0]["cut_off"] is True


@contextlib.contextmanager
def endless_chat(behind: str) -> Iterator[str]:
    """An Octopus that talks without end, and searches as the one behind it does."""
    stopped = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if not self.path.startswith("/api/chat/"):
                found = httpx.post(behind + self.path, content=body, trust_env=False, timeout=30)
                self._begin("application/json")
                self.wfile.write(found.content)
                return
            self._begin("text/event-stream")
            with contextlib.suppress(OSError):  # the client has had enough
                while not stopped.wait(0.05):
                    self.wfile.write(b'event: token\ndata: {"text": "and"}\n\n')

        def _begin(self, media_type: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", media_type)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


class TestVerdicts:
    def test_what_a_person_says_stands_beside_the_machines_verdict(self, world: World, point: str) -> None:
        with world.admin() as master:
            master.execute(f"DELETE FROM [{world.database}].[dbo].[Octopus_Episodes]")
        run, before = check(world)
        said = VerdictRequest(item=1, verdict="passed", by="Grace", reason="They were purged on purpose.")
        kept = reports.add_verdict(world.system, run, said, "command line")
        report = reports.shown(world.system, reports.find(world.system, run.id))
        assert (report["verdict"], verdicts(report)) == (before["verdict"], verdicts(before))
        assert report["checklist"][0]["manual"] == [kept.as_json()]
        assert world.blobs("catalogue", f"reports/{run.id}/verdicts/") == [
            f"reports/{run.id}/verdicts/{kept.id}.json"
        ]
        assert "They were purged on purpose." in reports.as_html(
            world.system, reports.find(world.system, run.id)
        )
        second = VerdictRequest(item=1, verdict="failed", by="Ada", reason="They were not.")
        reports.add_verdict(world.system, run, second, "http")
        both = reports.shown(world.system, reports.find(world.system, run.id))["manual_verdicts"]
        assert [(one["by"], one["verdict"], one["via"]) for one in both] == [
            ("Grace", "passed", "command line"),
            ("Ada", "failed", "http"),
        ]

    def test_a_run_under_way_is_not_judged(self, world: World) -> None:
        begun = checks.start_check(world.system, CheckRequest())
        said = VerdictRequest(item=1, verdict="passed", by="Grace", reason="Already.")
        with pytest.raises(RefusedError) as refused:
            reports.add_verdict(world.system, world.look(begun), said, "http")
        assert refused.value.specific_code == "run_under_way"
