"""The commands of ``octopus-backup``: each parses its words, calls a use case and shows the answer."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from dotenv import load_dotenv
from pydantic import BaseModel, TypeAdapter, ValidationError

from cli import INTERRUPTED, output
from cli.running import run_to_end
from shared.composition import System, compose
from shared.errors import BackupSystemError, InvalidRequestError
from shared.model.backups import Kind
from shared.model.base import UtcTime
from shared.model.plans import PlanRequest, PointTarget, Policy, StartRequest, TimeTarget
from shared.model.requests import BackupRequest, PointRequest
from shared.model.runs import Run
from shared.planning.words import sized
from shared.reporting import plan_text, run_text, status_text
from shared.settings import load
from shared.workflows import looking, plans, restores, starts

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

JsonFlag = Annotated[bool, typer.Option("--json", help="Answer in JSON on standard output.")]
InPlaceFlag = Annotated[
    bool,
    typer.Option(
        "--in-place", help="Overwrite the live database and collections instead of restoring beside them."
    ),
]
NameOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="OLD=NEW", help="Restore the database or collection OLD under the name NEW. Can be repeated."
    ),
]
SpaceFlag = Annotated[
    bool,
    typer.Option(
        "--confirm-space",
        help="Vouch for the free space on Qdrant's disks, which Qdrant cannot be asked for.",
    ),
]
TargetArgument = Annotated[
    str,
    typer.Argument(
        help="A recovery point by id or name, a time such as 2026-01-31T04:00:00Z, or the word latest."
    ),
]
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

_LOOKS_LIKE_A_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_TIME: TypeAdapter[datetime] = TypeAdapter(UtcTime)


def command[**P](perform: Callable[P, int]) -> Callable[P, None]:
    """Let a command end with its exit code, and its errors as one clear text or as JSON."""

    @functools.wraps(perform)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        as_json = bool(kwargs.get("as_json"))
        try:
            code = perform(*args, **kwargs)
        except BackupSystemError as error:
            output.show_error(error, as_json)
            code = output.exit_code(error)
        except KeyboardInterrupt as interrupt:
            output.show_error(
                BackupSystemError(f"Interrupted. {interrupt}".strip(), code="interrupted"), as_json
            )
            code = INTERRUPTED
        raise typer.Exit(code)

    return wrapped


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


def system() -> System:
    """The system that the settings describe."""
    return compose(load())


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
    return _ended(run_to_end(one, starts.start_backup(one, request), quiet=as_json), as_json)


@app.command("recovery-point")
@command
def recovery_point(
    name: Annotated[str | None, typer.Option(help="A name to find it by, such as 'before v7'.")] = None,
    as_json: JsonFlag = False,
) -> int:
    """Make a recovery point now.

    First every Qdrant snapshot is taken, then the mark is set in SQL Server and its log is backed up.
    """
    request = request_of(
        PointRequest, "A name has 1 to 100 characters, none of them a line break or the like.", name=name
    )
    one = system()
    return _ended(run_to_end(one, starts.start_point(one, request), quiet=as_json), as_json)


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
        ["made at", "id", "complete", "points", "name"],
        [
            [p["made_at"], p["id"], "yes" if p["complete"] else "NO", f"{p['points']:,}", p["name"] or ""]
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
    found = looking.status(system())
    if as_json:
        output.show_json(found)
    else:
        output.show_text(status_text(found))
    return output.DONE


@app.command()
@command
def plan(
    target: TargetArgument,
    policy: Annotated[
        Policy | None,
        typer.Option(
            help="For a time or latest. paired: both sides of the newest recovery point before it; "
            "latest_sql: SQL Server as late as possible, older vectors. Both are planned if left out."
        ),
    ] = None,
    in_place: InPlaceFlag = False,
    name: NameOption = None,
    confirm_space: SpaceFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Plan a restore and show it. Touches nothing.

    It says what is used, what is lost and what is overwritten, and ends with the command that starts it.
    """
    request = request_of(
        PlanRequest,
        target=target_of(target),
        policy=policy,
        in_place=in_place,
        names=names_of(name or []),
        confirm_space=confirm_space,
    )
    made = plans.make_plans(system(), request)
    if as_json:
        output.show_json({"plans": [one.as_json() for one in made]})
    else:
        output.show_text("\n\n".join(plan_text(one) for one in made))
    return output.DONE


@app.command()
@command
def restore(
    plan_id: Annotated[str, typer.Argument(help="The id of a plan that `octopus-backup plan` has shown.")],
    digest: Annotated[str, typer.Option(help="The plan's digest: it says that you have read the plan.")],
    as_json: JsonFlag = False,
) -> int:
    """Execute a plan and prove the result.

    Refused when anything that the plan rests on has changed since it was made. Ends with the restore report.
    """
    one = system()
    start = restores.start_restore(one, StartRequest(plan_id=plan_id, digest=digest))
    return _ended(run_to_end(one, start, quiet=as_json), as_json)


def request_of[T: BaseModel](model: type[T], rule: str = "", **values: Any) -> T:
    """A typed request from the command line's values.

    Args:
        model: the request's type.
        rule: what the values must be like, for who got them wrong.
        values: the request's fields.

    Raises:
        InvalidRequestError: a value is not what it should be.
    """
    try:
        return model(**values)
    except ValidationError as error:
        where = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:3])
        raise InvalidRequestError(rule or f"Not understood: {where}.") from None


def target_of(words: str) -> PointTarget | TimeTarget | Literal["latest"]:
    """What a restore aims at: what looks like a time is one, everything else names a recovery point.

    Raises:
        InvalidRequestError: it looks like a time and is none, or has no zone.
    """
    if words == "latest":
        return "latest"
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


def _ended(ended: Run, as_json: bool) -> int:
    if as_json:
        output.show_json(ended.as_json())
    else:
        output.show_text(ended.result.get("report_text") or run_text(ended))
    return output.exit_code_of_run(ended)
