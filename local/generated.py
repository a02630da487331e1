"""``python -m local.generated``: writes what follows from shared/settings, so that it cannot drift.

docs/configuration.md and local.settings.sample.json; a test holds them against the settings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from shared.settings import group_classes

ROOT = Path(__file__).resolve().parent.parent

WORKER_THREADS = "32"
"""Threads of Microsoft's Python worker. By default it has the number of CPUs plus four for everything
synchronous, activities included, so that a dozen of them would leave none for /api/health."""

_HEAD = """# Configuration

Generated from `shared/settings` by `make generate`; do not edit.

Settings are app settings of the function app (locally: `local.settings.json`), or the environment of
`octopus-backup`. All of them are checked at the start, and every problem is reported at once, by name. An
empty value counts as absent. A value marked *secret* is never printed; in Azure make it a Key Vault
reference.
"""

_TAIL = f"""
## Of the platform

| setting | value | why |
| --- | --- | --- |
| `PYTHON_THREADPOOL_THREAD_COUNT` | `{WORKER_THREADS}` | activities are synchronous; by default Microsoft's \
worker has only the number of CPUs plus four threads for them |
| `AzureWebJobsStorage` | the host's own storage account | Durable Functions and the timers keep their state \
there; never the account of the backups |
"""


def configuration() -> str:
    """The text of docs/configuration.md."""
    parts = [_HEAD]
    for group in group_classes().values():
        parts.append(f"\n## {(group.__doc__ or '').strip().rstrip('.')}\n")
        parts.append("| setting | default | example | meaning |\n| --- | --- | --- | --- |")
        parts += [_row(field) for field in group.model_fields.values()]
    return "\n".join(parts) + "\n" + _TAIL


def _row(field: FieldInfo) -> str:
    default = "**required**" if field.is_required() else _shown(field.default)
    example = _shown((field.examples or [""])[0])
    description = (field.description or "") + (" *Secret.*" if is_secret(field) else "")
    return f"| `{field.validation_alias}` | {default} | {example} | {description} |"


def _shown(value: Any) -> str:
    if value in (None, "", ()):
        return ""
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    return f"`{text.lower() if isinstance(value, bool) else text}`".replace("|", r"\|")


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting's value must never be shown."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


def sample_settings() -> str:
    """The text of local.settings.sample.json."""
    values = {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "PYTHON_THREADPOOL_THREAD_COUNT": WORKER_THREADS,
    }
    for group in group_classes().values():
        values |= {str(field.validation_alias): _sample(field) for field in group.model_fields.values()}
    return json.dumps({"IsEncrypted": False, "Values": values}, indent=2, ensure_ascii=False) + "\n"


def _sample(field: FieldInfo) -> str:
    if field.default not in (None, (), "") and not field.is_required():
        return _shown(field.default).strip("`")
    return "" if is_secret(field) else str((field.examples or [""])[0])


FILES = {"docs/configuration.md": configuration, "local.settings.sample.json": sample_settings}


def main() -> None:
    """Write the files."""
    for name, text in FILES.items():
        (ROOT / name).write_text(text(), "utf-8")


if __name__ == "__main__":
    main()
