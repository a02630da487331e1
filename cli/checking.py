"""The commands about checks, reports and what people say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli import output
from cli.base import JsonFlag, app, command, request_of, shown_end, system
from cli.running import run_to_end
from shared.errors import InvalidRequestError
from shared.model.checks import CheckRequest
from shared.model.verdicts import VerdictRequest
from shared.workflows import checks, reports

RunArgument = Annotated[str, typer.Argument(help="The id of a restore or a check.")]


@app.command("check")
@command
def check(
    from_step: Annotated[
        int, typer.Option("--from-step", metavar="N", help="Begin with this number of the checklist, 1 to 5.")
    ] = 1,
    point: Annotated[
        str | None,
        typer.Option(
            "--point", metavar="ID", help="Compare with this recovery point, else the newest complete one."
        ),
    ] = None,
    checkdb: Annotated[
        bool, typer.Option("--checkdb", help="Run DBCC CHECKDB too, which reads whole databases.")
    ] = False,
    as_json: JsonFlag = False,
) -> int:
    """Look whether what is in service is healthy.

    The five steps of the checklist are done over it.

    Changes nothing, but for the episode that the test conversation becomes. Ends with a report; the exit code
    is 1 when something is not as it should be.
    """
    request = request_of(CheckRequest, from_step=from_step, recovery_point=point, checkdb=checkdb)
    one = system()
    ended = run_to_end(one, checks.start_check(one, request), quiet=as_json)
    return shown_end(one.catalogue.runs.whole(ended), as_json)


@app.command("verdict")
@command
def verdict(
    run: RunArgument,
    item: Annotated[int, typer.Argument(help="The item of the checklist, 1 to 5.")],
    says: Annotated[
        Literal["passed", "failed"], typer.Argument(metavar="passed|failed", help="What it did.")
    ],
    by: Annotated[str, typer.Option(metavar="NAME", help="Who says so.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why.")],
    as_json: JsonFlag = False,
) -> int:
    """Say of an item of the checklist what you found. It stands beside the machine's verdict, for ever."""
    request = request_of(VerdictRequest, item=item, verdict=says, by=by, reason=reason)
    one = system()
    kept = reports.add_verdict(one, reports.find(one, run), request, "command line")
    if as_json:
        output.show_json(kept.as_json())
    else:
        output.show_text(
            f"Kept with run {kept.run_id}: item {kept.item} {kept.verdict}, says {kept.by}. The machine's "
            "own verdict stays as it is."
        )
    return output.DONE


@app.command("report")
@command
def report(
    run: RunArgument,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it as a page into this file, which must not exist."),
    ] = None,
    as_json: JsonFlag = False,
) -> int:
    """Show the report of a restore or a check.

    With what people said of it until now.
    """
    one = system()
    found = reports.find(one, run)
    if html is not None:
        page = reports.as_html(one, found)
        try:
            with html.open("x", encoding="utf-8") as file:
                file.write(page)
        except OSError as error:
            raise InvalidRequestError(f"{html} cannot be written: {error.strerror}.") from None
    if as_json:
        output.show_json(reports.shown(one, found))
    elif html is None:
        output.show_text(reports.as_text(one, found))
    else:
        output.show_text(f"Written to {html}.")
    return output.DONE
