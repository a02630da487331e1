"""What settings are made of: how a value is read, and what is accepted."""

from __future__ import annotations

import re
from typing import Annotated, Any

from croniter import croniter
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _split(value: object) -> object:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


def _patterns(value: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in value:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    return value


def _address(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
        raise ValueError("is not an http or https address without user, query and fragment")
    return value.rstrip("/")


def _schedule(value: str) -> str:
    if len(value.split()) != 6 or not croniter.is_valid(value, second_at_beginning=True):
        raise ValueError("is not an NCRONTAB expression of six fields: second minute hour day month weekday")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Patterns = Annotated[Names, AfterValidator(_patterns)]
Address = Annotated[str, AfterValidator(_address)]
Addresses = Annotated[tuple[Address, ...], BeforeValidator(_split)]
Schedule = Annotated[str, AfterValidator(_schedule)]


def setting(name: str, description: str, example: str, default: Any = ...) -> Any:
    """A field that is read from the app setting ``name``; ``example`` is shown in errors and in the docs."""
    return Field(default, validation_alias=name, description=description, examples=[example])


class Group(BaseSettings):
    """Settings that belong together, read from the environment; an empty value counts as absent."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        case_sensitive=True,
        env_ignore_empty=True,
        enable_decoding=False,  # lists are written with commas, not as JSON
        hide_input_in_errors=True,  # an input may be a secret
    )
