"""The commands of ``octopus-backup``: each parses its words, calls a use case and shows the answer."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer
from dotenv import load_dotenv

from cli import checking, drilling, output, quarantining, restoring
from cli.base import JsonFlag, app, command, request_of, shown_end, system
from cli.running import run_to_end
from shared.model.backups import Kind
from shared.model.requests import BackupRequest, PointRequest
from shared.planning.words import sized
from shared.reporting import status_text
from shared.workflows import looking, standing, starts

# Importing a module of commands registers them.
__all__ = ["app", "checking", "drilling", "quarantining", "restoring"]

DatabaseOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Only this database, else all of the settings. Can be repeated."),
]
EnvFileOption = Annotated[
    Path | None,
    typer.Option(
        help="Read settings from this file too: NAME=value lines, as `make stack` writes them. "
        "They win over the environment.",
        exists=True,
        dir_okay=False,
        readable=True,
    ),
]


@app.callback()
def settings_from(env_file: EnvFileOption = None) -> None:
    """Back Octopus' memory up (SQL Server and Qdrant), and restore it to one consistent point.

    Settings come from the environment; docs/configuration.md lists them.

    Exit codes: 0 done, 1 failed or does not match, 2 wrong usage or settings, 3 refused (digest, lock,
    policy), 4 a server or the storage cannot be reached, 130 interrupted.
    """
    logging.getLogger("shared.workflows.outcomes").setLevel(logging.CRITICAL)  # a run's steps tell it
    if env_file:
        load_dotenv(env_file, override=True)


@app.command()
@command
def backup(
    kind: Annotated[Literal["full", "differential", "log"], typer.Argument(help="What to take.")],
    database: DatabaseOption = None,
    as_json: JsonFlag = False,
) -> int:
    """Back SQL Server up now, outside the schedule."""
    one = system()
    request = BackupRequest(kind=Kind(kind), databases=tuple(database or ()))
    return shown_end(run_to_end(one, starts.start_backup(one, request), quiet=as_json), as_json)


@app.command("recovery-point")
@command
def recovery_point(
    name: Annotated[str | None, typer.Option(help="A name to find it by, such as 'before v7'.")] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Keep it, whatever the retention says.")] = False,
    as_json: JsonFlag = False,
) -> int:
    """Make a recovery point now.

    First every Qdrant snapshot is taken, then the mark is set in SQL Server and its log is backed up.
    """
    rule = "A name has 1 to 100 characters, none of them a line break or the like."
    request = request_of(PointRequest, rule, name=name, pinned=pin)
    one = system()
    return shown_end(run_to_end(one, starts.start_point(one, request), quiet=as_json), as_json)


@app.command("pin")
@command
def pin_point(
    point: Annotated[str, typer.Argument(help="A recovery point by id or name.")],
    remove: Annotated[bool, typer.Option("--remove", help="Leave it to the retention again.")] = False,
    as_json: JsonFlag = False,
) -> int:
    """Keep a recovery point, whatever the retention says."""
    found = looking.pin(system(), point, pinned=not remove)
    if as_json:
        output.show_json(found)
    else:
        name = f" “{found['name']}”" if found["name"] else ""
        kept = "is kept, whatever the retention says" if found["pinned"] else "is left to the retention"
        output.show_text(f"Recovery point {found['id']}{name} {kept}.")
    return output.DONE


@app.command("list")
@command
def list_(as_json: JsonFlag = False) -> int:
    """List recovery points and backups, newest first."""
    one = system()
    found = looking.points(one) | looking.backups(one)
    if as_json:
        output.show_json(found)
        return output.DONE
    output.show_table(
        "Recovery points",
        ["made at", "id", "complete", "pinned", "points", "name"],
        [
            [
                p["made_at"],
                p["id"],
                "yes" if p["complete"] else "NO",
                "yes" if p["pinned"] else "",
                f"{p['points']:,}",
                p["name"] or "",
            ]
            for p in found["recovery_points"]
        ],
    )
    output.show_table(
        "Backups",
        ["finished at", "id", "kind", "size", "what"],
        [
            [
                b["finished_at"],
                b["id"],
                b["kind"].replace("_", " "),
                sized(b["size"]),
                b.get("database") or f"Qdrant collections: {b['collections']}",
            ]
            for b in found["backups"]
        ],
    )
    return output.DONE


@app.command()
@command
def status(as_json: JsonFlag = False) -> int:
    """Show ages, timers and what runs now."""
    found = standing.status(system())
    if as_json:
        output.show_json(found)
    else:
        output.show_text(status_text(found))
    return output.DONE
