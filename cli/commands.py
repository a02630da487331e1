"""`octopus-backup`: back up, plan, restore and look, from a terminal, against whatever the settings name."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from dotenv import load_dotenv
from pydantic import BaseModel, ValidationError

from cli import output
from cli.running import run_to_end
from shared.composition import System, compose
from shared.errors import BackupSystemError, InvalidRequestError
from shared.model.backups import Kind
from shared.model.plans import PlanRequest, Policy, StartRequest
from shared.model.requests import BackupRequest, PointRequest
from shared.model.runs import Run, State
from shared.reporting import plan_text, run_text, status_text
from shared.settings import load
from shared.workflows import looking, plans, restores, starts

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Backs up Octopus' memory (SQL Server and Qdrant) and restores it to one consistent point.\n\n"
    "Settings come from the environment; docs/configuration.md lists them. Exit codes: 0 done, 1 failed or "
    "mismatch, 2 usage or settings, 3 refused, 4 unreachable, 130 interrupted.",
)

JsonFlag = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
InPlaceFlag = Annotated[
    bool, typer.Option(help="Overwrite the live database and collections instead of restoring beside them.")
]
NameOption = Annotated[
    list[str] | None, typer.Option(help="OLD=NEW: restore a database or collection under this name.")
]
SpaceFlag = Annotated[
    bool, typer.Option(help="Vouch for the free space on Qdrant's disks, which cannot be asked for.")
]
TargetArgument = Annotated[
    str, typer.Argument(help="A recovery point (id or name), a time such as 2026-01-31T04:00:00Z, or latest.")
]


def main() -> None:
    """The entry point of the command line."""
    try:
        app(standalone_mode=False)
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except typer.Abort:
        sys.exit(output.INTERRUPTED)
    except KeyboardInterrupt:
        output.err.print("Interrupted. What was finished is not repeated when you start it again.")
        sys.exit(output.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(output.USAGE)


def command[**P](perform: Callable[P, int]) -> Callable[P, None]:
    """Let a command end with its exit code, and its errors as one clear text or as JSON."""

    @functools.wraps(perform)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = perform(*args, **kwargs)
        except BackupSystemError as error:
            output.show_error(error, bool(kwargs.get("as_json")))
            code = output.exit_code(error)
        raise typer.Exit(code)

    return wrapped


@app.callback()
def settings_from(
    env_file: Annotated[
        Path | None,
        typer.Option(
            help="Read settings from this file too (NAME=value lines), as `make stack` writes one.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Back up, plan, restore and look."""
    if env_file:
        load_dotenv(env_file, override=False)


def system() -> System:
    """The system that the settings describe."""
    return compose(load())


@app.command()
@command
def backup(
    kind: Annotated[Kind, typer.Argument(help="full, differential or log")],
    database: Annotated[list[str] | None, typer.Option(help="Only this database; repeat for more.")] = None,
    as_json: JsonFlag = False,
) -> int:
    """Back SQL Server up now, outside the schedule."""
    if kind is Kind.SNAPSHOT_SET:
        raise InvalidRequestError(
            "Snapshots are taken as part of a recovery point.", "Use `octopus-backup recovery-point`."
        )
    one = system()
    request = BackupRequest(kind=kind, databases=tuple(database or ()))
    return _finished(run_to_end(one, starts.start_backup(one, request), quiet=as_json), as_json)


@app.command("recovery-point")
@command
def recovery_point(
    name: Annotated[str | None, typer.Option(help="A name to find it by, e.g. 'before v7'.")] = None,
    as_json: JsonFlag = False,
) -> int:
    """Make a recovery point now: every Qdrant snapshot, then the mark in SQL Server."""
    one = system()
    start = starts.start_point(one, request_of(PointRequest, name=name))
    return _finished(run_to_end(one, start, quiet=as_json), as_json)


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
        ["made at", "id", "name", "complete", "points"],
        [
            [p["made_at"], p["id"], p["name"] or "", "yes" if p["complete"] else "NO", f"{p['points']:,}"]
            for p in found["recovery_points"]
        ],
    )
    output.show_table(
        "Backups",
        ["finished at", "id", "store", "kind", "what", "size"],
        [
            [
                b["finished_at"],
                b["id"],
                b["store"],
                b["kind"],
                b.get("database") or f"{b['collections']} collections",
                output.human_size(b["size"]),
            ]
            for b in found["backups"]
        ],
    )
    return output.DONE


@app.command()
@command
def status(as_json: JsonFlag = False) -> int:
    """Show how old what could be restored is, and what the timers did last."""
    found = looking.status(system())
    if as_json:
        output.show_json(found)
        return output.DONE
    output.show_text(status_text(found))
    return output.DONE


@app.command()
@command
def plan(
    target: TargetArgument,
    policy: Annotated[
        Policy | None, typer.Option(help="For a time or latest; both are planned if left out.")
    ] = None,
    in_place: InPlaceFlag = False,
    name: NameOption = None,
    confirm_space: SpaceFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Plan a restore and show it. Touches nothing."""
    request = plan_request(target, policy, in_place, name, confirm_space)
    made = plans.make_plans(system(), request)
    if as_json:
        output.show_json({"plans": [one.as_json() for one in made]})
    else:
        output.show_text("\n\n".join(plan_text(one) for one in made))
    return output.DONE


@app.command()
@command
def restore(
    plan_id: Annotated[str, typer.Argument(help="The id of a plan that `octopus-backup plan` made.")],
    digest: Annotated[str, typer.Option(help="The plan's digest: it says that you have read it.")],
    as_json: JsonFlag = False,
) -> int:
    """Execute a plan and prove the result."""
    one = system()
    start = restores.start_restore(one, StartRequest(plan_id=plan_id, digest=digest))
    run = run_to_end(one, start, quiet=as_json)
    if not as_json and run.result.get("report_text"):
        output.show_text(run.result["report_text"])
    return _finished(run, as_json)


def request_of[T: BaseModel](model: type[T], **values: Any) -> T:
    """A typed request from the command line's values.

    Raises:
        InvalidRequestError: a value is not what it should be.
    """
    try:
        return model(**values)
    except ValidationError as error:
        where = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:3])
        raise InvalidRequestError(f"Not understood: {where}.") from None


def plan_request(
    target: str, policy: Policy | None, in_place: bool, names: list[str] | None, confirm_space: bool
) -> PlanRequest:
    """The plan request that the command line's words mean.

    Raises:
        InvalidRequestError: a ``--name`` is not of the form old=new.
    """
    renamed = {}
    for pair in names or []:
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise InvalidRequestError(f"--name {pair!r} is not of the form OLD=NEW.")
        renamed[old] = new
    wanted: Any = target if target == "latest" else {"recovery_point": target}
    if target[:1].isdigit() and "T" in target and "-" in target:  # a ULID has no dashes
        wanted = {"time": target}
    return request_of(
        PlanRequest,
        target=wanted,
        policy=policy,
        in_place=in_place,
        names=renamed,
        confirm_space=confirm_space,
    )


def _finished(run: Run, as_json: bool) -> int:
    if as_json:
        output.show_json(run.as_json())
    else:
        output.show_text(run_text(run))
    if run.state is State.SUCCEEDED:
        return output.DONE
    code = run.error.code if run.error else ""
    return output.EXIT_OF_CODE.get(code, output.FAILED)
