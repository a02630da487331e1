"""The commands about drills."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli import output
from cli.base import JsonFlag, app, command, shown_end, system
from cli.running import run_to_end
from shared.model.drills import DrillRequest
from shared.workflows import drill_activities, drills

PointOption = Annotated[
    str | None,
    typer.Option(
        "--point", metavar="ID", help="A recovery point by id or name, else the newest complete one."
    ),
]
CleanUpFlag = Annotated[
    bool,
    typer.Option("--clean-up", help="Only remove what drills left behind that were interrupted."),
]


@app.command("drill")
@command
def drill(point: PointOption = None, clean_up: CleanUpFlag = False, as_json: JsonFlag = False) -> int:
    """Practise a restore, in copies that are removed again.

    A recovery point is restored into scratch copies, proven and measured.

    On the servers of DRILL_SQLSERVER_CONNECTION and DRILL_QDRANT_URLS; no live name is ever touched.
    """
    one = system()
    if clean_up:
        return _cleared(drill_activities.clear(one), as_json)
    start = drills.start_drill(one, DrillRequest(recovery_point=point))
    try:
        run = run_to_end(one, start, quiet=as_json)
    except KeyboardInterrupt as interrupt:
        hint = "`octopus-backup drill --clean-up` removes the copies that it left behind."
        raise KeyboardInterrupt(f"{interrupt} {hint}") from None
    return shown_end(one.catalogue.runs.whole(run), as_json)


def _cleared(ids: list[str], as_json: bool) -> int:
    if as_json:
        output.show_json({"cleaned_up": ids})
    else:
        output.show_text(
            f"Cleaned up after {', '.join(ids)}." if ids else "No drill has left anything behind."
        )
    return output.DONE


@app.command("drills")
@command
def list_drills(as_json: JsonFlag = False) -> int:
    """List drills with their verdicts and times, newest first."""
    found = drills.drills(system())
    if as_json:
        output.show_json(found)
        return output.DONE
    output.show_table(
        "Drills",
        ["ended at", "id", "verdict", "RTO", "target", "RPO", "target", "recovery point"],
        [_row(line) for line in found["drills"]],
    )
    for finding in found["findings"]:
        output.show_text(f"{finding['message']} {finding['hint']} [{finding['code']}]")
    return output.DONE


def _row(line: dict[str, Any]) -> list[str]:
    names = ("rto_seconds", "target_rto_seconds", "rpo_seconds", "target_rpo_seconds")
    return [
        line["when"] or "under way",
        line["id"],
        line["verdict"] or "",
        *("-" if line[name] is None else f"{line[name]:,.0f} s" for name in names),
        line["recovery_point"] or "",
    ]
