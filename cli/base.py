"""What every command of ``octopus-backup`` shares: its end, its errors, its settings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ValidationError

from cli import INTERRUPTED, output
from shared.composition import System, compose
from shared.errors import BackupSystemError, InvalidRequestError
from shared.model.runs import Run
from shared.reporting import run_text
from shared.settings import load

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

JsonFlag = Annotated[bool, typer.Option("--json", help="Answer in JSON on standard output.")]


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


def system() -> System:
    """The system that the settings describe."""
    return replace(compose(load()), commands_allowed=True)


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


def shown_end(ended: Run, as_json: bool) -> int:
    """Show how a run ended; returns the exit code."""
    if as_json:
        output.show_json(ended.as_json())
    else:
        output.show_text(ended.result.get("report_text") or run_text(ended))
    return output.exit_code_of_run(ended)
