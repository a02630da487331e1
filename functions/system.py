"""The system that this function app works with: built from the app settings when first needed, then kept."""

from __future__ import annotations

from functools import cache

from shared.composition import System, compose
from shared.settings import load


@cache
def system() -> System:
    """The one system of this process.

    Raises:
        InvalidSettingsError: the app settings are wrong.
    """
    return compose(load())
