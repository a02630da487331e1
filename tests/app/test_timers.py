"""The timers of the real app: backups appear by themselves, and one per slot, whoever fires."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.app.served import MASTER_KEY, App
from tests.servers import Servers
from tests.world import World, kinds, world_on


@pytest.fixture
def world(servers: Servers, tmp_path: Path) -> Iterator[World]:
    with world_on(servers, "url", tmp_path) as made:
        yield made


def ended(app: App, path: str) -> bool:
    return all(run["state"] not in ("pending", "running") for run in app.get(path)["runs"])


def test_with_schedules_in_seconds_backups_and_a_point_appear_by_themselves(
    world: World, tmp_path: Path
) -> None:
    environ = {**world.environ, "SQL_LOG_SCHEDULE": "*/2 * * * * *"}
    with App(environ, tmp_path / "host.log") as app:
        app.until(lambda: kinds(world), lambda found: "full" in found and found.count("log") >= 3)
        listed = app.until(lambda: app.get("/api/recovery-points")["recovery_points"], bool)
        assert listed[0]["complete"] is True
        status = app.get("/api/status")
        assert status["timers"]["sql_full"]["last_state"] == "succeeded"
        slots = [run["slot"] for run in app.get("/api/backups")["runs"] if run["title"].startswith("Log")]
        assert len(slots) == len(set(slots))
        assert all(int(slot[17:19]) % 2 == 0 for slot in slots)


def test_a_timer_that_fires_several_times_at_once_makes_one_backup_per_slot(
    world: World, tmp_path: Path
) -> None:
    times = 4
    with App(world.environ, tmp_path / "host.log") as app:

        def fire(timer: str) -> int:
            answer = app.ask("POST", f"/admin/functions/{timer}", key=MASTER_KEY)
            return answer.status_code

        for timer, wanted in (("sql_full", ["full"]), ("sql_log", ["differential", "full", "log", "log"])):
            with ThreadPoolExecutor(times) as pool:
                assert set(pool.map(fire, [timer] * times)) == {202}
            app.until(lambda: len(kinds(world)), len(wanted).__le__)
            app.until(lambda: ended(app, "/api/backups") and ended(app, "/api/recovery-points"), bool)
            assert fire(timer) == 202  # once more, when all has ended
            app.until(lambda: ended(app, "/api/backups") and ended(app, "/api/recovery-points"), bool)
            assert sorted(kinds(world)) == wanted
        assert len(app.get("/api/backups")["runs"]) == 3
        assert len(app.get("/api/recovery-points")["recovery_points"]) == 1
