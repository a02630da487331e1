"""Every setting, in one typed place, checked at start, all problems reported at once.

App settings are flat names in the environment (that is how Azure Functions hands them over); here they are
gathered into one tree. Secrets are ``SecretStr``: they print as asterisks and are opened where they are used.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import InvalidSettingsError
from shared.settings.contradictions import contradictions, server_of
from shared.settings.fields import Group
from shared.settings.groups import (
    AccessSettings,
    DrillSettings,
    OctopusSettings,
    QdrantSettings,
    ScheduleSettings,
    SqlServerSettings,
    StorageSettings,
)

__all__ = [
    "AccessSettings",
    "DrillSettings",
    "OctopusSettings",
    "QdrantSettings",
    "ScheduleSettings",
    "Settings",
    "SqlServerSettings",
    "StorageSettings",
    "group_classes",
    "load",
]


class Settings(BaseModel):
    """The whole tree."""

    model_config = ConfigDict(frozen=True)

    storage: StorageSettings
    sqlserver: SqlServerSettings
    qdrant: QdrantSettings
    octopus: OctopusSettings
    drill: DrillSettings
    access: AccessSettings
    schedules: ScheduleSettings

    def for_drill(self) -> Settings:
        """The same settings with the servers of drills in place of the live ones, where any are named."""
        sql, qdrant, drill = self.sqlserver, self.qdrant, self.drill
        if drill.sqlserver_connection:
            sql = sql.model_copy(update={"connection": drill.sqlserver_connection})
        if drill.qdrant_urls:
            keys = {"api_key": drill.qdrant_api_key, "restore_api_key": None, "free_bytes": None}
            qdrant = qdrant.model_copy(update={"urls": drill.qdrant_urls, **keys})
        return self.model_copy(update={"sqlserver": sql, "qdrant": qdrant})

    def fingerprint(self) -> str:
        """A digest of what a restore uses: addresses, databases, medium, folders, hooks, migration command.

        No secret goes into it: of a hook only whether it is set.
        """
        used = {
            "storage": self.storage.url,
            "sqlserver": [self.sqlserver.medium, self.sqlserver.backup_dir, *self.sqlserver.databases],
            "server": server_of(self.sqlserver.connection),
            "qdrant": list(self.qdrant.urls),
            "octopus": [
                self.octopus.api_url,
                self.octopus.stop_hook is not None,
                self.octopus.start_hook is not None,
                self.octopus.migration_command,
            ],
        }
        return hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()[:16]


def load() -> Settings:
    """Read the settings from this process's environment.

    Raises:
        InvalidSettingsError: naming every problem, each with the setting's name and an example; no value of a
            secret is ever part of it.
    """
    groups: dict[str, Any] = {}
    problems: list[str] = []
    for name, group in group_classes().items():
        try:
            groups[name] = group()
        except ValidationError as error:
            problems += [_problem(group, dict(one)) for one in error.errors()]
    problems += contradictions(groups)
    if problems:
        raise InvalidSettingsError(
            f"{len(problems)} setting(s) are wrong: " + " | ".join(dict.fromkeys(problems)),
            "Correct them in the app settings (locally: local.settings.json or the environment). "
            "docs/configuration.md explains each.",
        )
    return Settings(**groups)


def group_classes() -> dict[str, type[Group]]:
    """The groups by their name in the tree, in the order of the docs."""
    found = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {name: group for name, group in found.items() if isinstance(group, type)}


def _problem(group: type[Group], error: dict[str, Any]) -> str:
    name = str(error["loc"][0])
    field = next(f for f in group.model_fields.values() if f.validation_alias == name)
    what = "is missing" if error["type"] == "missing" else str(error["msg"]).removeprefix("Value error, ")
    example = field.examples[0] if field.examples else ""
    return f"{name}: {what}" + (f" (example: {example})" if example else "")
