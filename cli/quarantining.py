"""The command that puts a collection aside which nobody knows."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli import output
from cli.base import JsonFlag, app, command, request_of, shown_end, system
from cli.running import run_to_end
from shared.errors import RefusedError
from shared.model.quarantines import Quarantine, QuarantineRequest
from shared.workflows import quarantine as quarantines


@app.command()
@command
def quarantine(
    collection: Annotated[str, typer.Argument(help="The collection's name, as the restore report shows it.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Otherwise it is shown, and the name must be typed again.")
    ] = False,
    force: Annotated[
        str | None,
        typer.Option(
            metavar="REASON",
            help="Do it although an agent may work with the collection; the reason is kept with the run.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> int:
    """Put a collection aside under another name.

    It is copied, the copy is proven, then the original is deleted.

    A snapshot of it is kept in Blob Storage too. Refused for a collection whose agent SQL Server knows. When
    it was interrupted, the same command goes on where it was.
    """
    one = system()
    request = request_of(QuarantineRequest, collection=collection, force=force)
    if not yes:
        found = quarantines.look(one, request)
        if as_json or not sys.stdin.isatty():
            raise _unconfirmed(found)
        output.show_text(_told(found))
        if typer.prompt("Type the collection's name to do it", default="", show_default=False) != collection:
            raise _unconfirmed(found)
    start = quarantines.start_quarantine(one, request)
    ended = run_to_end(one, start, quiet=as_json)
    return shown_end(one.catalogue.runs.whole(ended), as_json)


def _unconfirmed(found: Quarantine) -> RefusedError:
    return RefusedError(f"Not confirmed. {_told(found)}", "Add --yes to do it.", code="not_confirmed")


def _told(found: Quarantine) -> str:
    whose = f"the agent {found.agent}, which no database knows" if found.agent else "no single agent"
    if found.force:
        whose = f"{f'the agent {found.agent}' if found.agent else 'no single agent'}; forced: {found.force}"
    return (
        f"{found.collection} has {found.points:,} points and belongs to {whose}. It would be copied to "
        f"{found.copy_name} and into Blob Storage, and then deleted."
    )
