"""The commands that plan, start, watch and stop restores."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import TypeAdapter, ValidationError

from cli import output
from cli.base import JsonFlag, app, command, request_of, shown_end, system
from cli.running import run_to_end
from shared.errors import InvalidRequestError
from shared.model.backups import Store
from shared.model.base import UtcTime
from shared.model.plans import (
    CancelRequest,
    Migrations,
    PlanRequest,
    PointTarget,
    Policy,
    RestoreTarget,
    StartRequest,
    TimeTarget,
)
from shared.planning.words import lasted
from shared.reporting import plans_html, plans_text, run_text
from shared.workflows import cancelling, plans, restores, suspending, watching

WAIT_SECONDS = 60.0
"""How long the command waits for the end of a run that it has cancelled."""

MOST_READ = 32 * 1024 * 1024
"""Bytes of a file that a command reads whole."""

_LOOKS_LIKE_A_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_TIME: TypeAdapter[datetime] = TypeAdapter(UtcTime)
_RESTORE = "restore:"


@app.command()
@command
def plan(
    target: Annotated[
        str,
        typer.Argument(
            help="A recovery point by id or name, a time such as 2026-01-31T04:00:00Z, the word latest, or "
            "restore:RUN to put in service what a restore side by side has made."
        ),
    ],
    policy: Annotated[
        Policy | None,
        typer.Option(
            help="For a time or latest. paired: both sides of the newest recovery point before it; "
            "latest_sql: SQL Server as late as possible, older vectors. Both are planned if left out."
        ),
    ] = None,
    store: Annotated[
        list[Store] | None, typer.Option(help="Only this store, else all of them. Can be repeated.")
    ] = None,
    agent: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Only the collections of this agent; SQL Server is left alone unless --store names it. "
            "Can be repeated.",
        ),
    ] = None,
    in_place: Annotated[
        bool,
        typer.Option(
            "--in-place",
            help="Overwrite the live database and collections instead of restoring beside them.",
        ),
    ] = False,
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW",
            help="Restore the database or collection OLD under the name NEW. Can be repeated.",
        ),
    ] = None,
    migrations: Annotated[
        Migrations,
        typer.Option(
            help="check: only look at the migration history. script: execute the idempotent script. "
            "command: run OCTOPUS_MIGRATION_COMMAND on this machine."
        ),
    ] = Migrations.CHECK,
    migration_script: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="The idempotent script; that of OCTOPUS_MIGRATION_SCRIPT if left out.",
        ),
    ] = None,
    checkdb: Annotated[
        bool, typer.Option("--checkdb", help="Run DBCC CHECKDB on what was restored. It can take hours.")
    ] = False,
    erase_users: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="User ids, one on a line, whose rows are deleted again after the restore.",
        ),
    ] = None,
    confirm_space: Annotated[
        bool,
        typer.Option(
            "--confirm-space",
            help="Vouch for the free space on Qdrant's disks, which Qdrant cannot be asked for.",
        ),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", dir_okay=False, help="Write the plan into FILE too, as a page to print."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> int:
    """Plan a restore and show it. Touches nothing.

    It says what is used, what is lost and what is overwritten, and ends with the command that starts it.
    """
    script = _read(migration_script) if migration_script else None
    request = request_of(
        PlanRequest,
        target=target_of(target),
        policy=policy,
        stores=tuple(store or ()),
        agents=tuple(agent or ()),
        in_place=in_place,
        names=names_of(name or []),
        migrations=Migrations.SCRIPT if script else migrations,
        migration_script=script,
        checkdb=checkdb,
        erase_users=_lines(erase_users) if erase_users else (),
        confirm_space=confirm_space,
    )
    made = plans.make_plans(system(), request)
    if html:
        output.write_file(html, plans_html(made))
    if as_json:
        output.show_json({"plans": [one.as_json() for one in made]})
    else:
        output.show_text(plans_text(made))
    return output.DONE


@app.command()
@command
def restore(
    plan_id: Annotated[str, typer.Argument(help="The id of a plan that `octopus-backup plan` has shown.")],
    digest: Annotated[str, typer.Option(help="The plan's digest: it says that you have read the plan.")],
    fenced_by: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Your name: it says that the Octopus API was stopped, where no hook stops it. That it is "
            "down is looked at all the same.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> int:
    """Execute a plan and prove the result.

    Refused when anything that the plan rests on has changed since it was made. A plan whose restore did not
    come to its end goes on where it was. Ends with the restore report.
    """
    request = request_of(StartRequest, plan_id=plan_id, digest=digest, fenced_by=fenced_by)
    one = system()
    return shown_end(run_to_end(one, restores.start_restore(one, request), quiet=as_json), as_json)


@app.command()
@command
def cancel(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The id of a restore that is under way.")],
    by: Annotated[str, typer.Option(metavar="NAME", help="Your name, for the report.")],
    as_json: JsonFlag = False,
) -> int:
    """Stop a restore, and say in which state it leaves things.

    Nothing is undone. The same plan can be started again, and goes on where it was.
    """
    request = request_of(CancelRequest, by=by)
    one = system()
    run = cancelling.cancel(one, run_id, request.by)
    deadline = one.clock.monotonic() + WAIT_SECONDS
    while not run.ended and one.clock.monotonic() < deadline:
        one.clock.sleep(0.5)
        run = one.catalogue.runs.get(run.kind, run.id)
    if as_json:
        output.show_json(one.catalogue.runs.whole(run).as_json())
    elif run.ended:
        output.show_text(run_text(run))
    else:
        output.show_text(
            f"Run {run.id} is told to stop, and does so at its next sign of progress.\n"
            f"Look again: octopus-backup show {run.id}"
        )
    return output.DONE


@app.command()
@command
def runs(as_json: JsonFlag = False) -> int:
    """List the newest runs: backups, points, restores, drills."""
    found = watching.newest(system())
    if as_json:
        output.show_json({"runs": [watching.line(run) for run in found]})
        return output.DONE
    output.show_table(
        "Runs",
        ["started at", "id", "kind", "state", "took", "what"],
        [
            [
                f"{run.started_at:%Y-%m-%d %H:%M:%SZ}",
                run.id,
                run.kind.value.replace("_", " "),
                run.state.value,
                lasted(run.finished_at - run.started_at) if run.finished_at else "",
                run.title,
            ]
            for run in found
        ],
    )
    return output.DONE


@app.command()
@command
def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The id of a run, of whatever kind.")],
    steps: Annotated[bool, typer.Option("--steps", help="Its steps also where there is a report.")] = False,
    as_json: JsonFlag = False,
) -> int:
    """Show a run: its report, or its steps while there is none."""
    run = watching.found(system(), run_id)
    if as_json:
        output.show_json(run.as_json())
    else:
        output.show_text((not steps and run.result.get("report_text")) or run_text(run))
    return output.DONE


@app.command("resume-timers")
@command
def resume_timers(
    scope: Annotated[
        str, typer.Argument(help="The name of a database, or qdrant, as the status shows it suspended.")
    ],
    as_json: JsonFlag = False,
) -> int:
    """Let the timers on of what a restore left suspended.

    Only after it was seen to by hand: what is half restored would be backed up as it is.
    """
    lifted = suspending.resume_timers(system(), scope)
    if as_json:
        output.show_json({"resumed": [one.as_json() for one in lifted]})
    else:
        output.show_text("\n".join(f"Resumed: {one.what}." for one in lifted))
    return output.DONE


def target_of(words: str) -> PointTarget | TimeTarget | RestoreTarget | Literal["latest"]:
    """What a restore aims at: what looks like a time is one, everything else names a recovery point.

    Raises:
        InvalidRequestError: it looks like a time and is none, or has no zone.
    """
    if words == "latest":
        return "latest"
    if words.startswith(_RESTORE):
        return RestoreTarget(restore=words.removeprefix(_RESTORE))
    if not _LOOKS_LIKE_A_TIME.match(words):
        return PointTarget(recovery_point=words)
    try:
        return TimeTarget(time=_TIME.validate_python(words))
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Input should be a valid datetime or date, ")
        why = why.removeprefix("Value error, ")
        raise InvalidRequestError(
            f"The time {words!r} is not understood: {why}.", "Write it in UTC, such as 2026-01-31T04:00:00Z."
        ) from None


def names_of(pairs: list[str]) -> dict[str, str]:
    """New names by old ones.

    Raises:
        InvalidRequestError: one is not of the form OLD=NEW, or OLD is there twice.
    """
    renamed: dict[str, str] = {}
    for pair in pairs:
        old, _, new = pair.partition("=")
        if not (old and new):
            raise InvalidRequestError(f"--name {pair!r} is not of the form OLD=NEW.")
        if old in renamed:
            raise InvalidRequestError(f"--name gives {old!r} two new names.")
        renamed[old] = new
    return renamed


def _read(file: Path) -> str:
    """The text of a file: UTF-8, or UTF-16 with a byte order mark, as EF Core's tools and PowerShell write.

    Raises:
        InvalidRequestError: it is too large, or no such text.
    """
    with file.open("rb") as opened:
        raw = opened.read(MOST_READ + 1)
    if len(raw) > MOST_READ:
        raise InvalidRequestError(f"{file.name} is larger than {MOST_READ >> 20} MiB.")
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        raise InvalidRequestError(f"{file.name} is no text in UTF-8 or UTF-16.") from None


def _lines(file: Path) -> tuple[str, ...]:
    """The lines of a file that hold something, without the space around them."""
    return tuple(line.strip() for line in _read(file).splitlines() if line.strip())
