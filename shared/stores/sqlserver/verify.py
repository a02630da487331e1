"""Whether a committed backup is still what it was, and SQL Server can read it."""

from __future__ import annotations

from typing import Any

from shared.blob import download
from shared.blob.storage import Storage
from shared.errors import InvalidRequestError, NotPermittedError
from shared.model.backups import BlobRef, Manifest, SqlFacts
from shared.stores.sqlserver import inspection, messages, statements
from shared.stores.sqlserver.connection import Server
from shared.stores.sqlserver.execute import Progress, run_long, scaled
from shared.stores.sqlserver.media import Medium, check_unchanged

MAY_NOT = "permission"
"""Code of the error that says that our login lacks a right."""


def verify(
    server: Server, medium: Medium, storage: Storage, manifest: Manifest, progress: Progress
) -> dict[str, Any]:
    """Compare every blob with the manifest and let SQL Server check its pages' checksums.

    It proves that the backup can be read and is what was written; not that the database in it is sound, which
    only a restore and DBCC CHECKDB can.

    Returns:
        Evidence, as data.

    Raises:
        IntegrityError: a blob is gone or changed, or SQL Server finds it damaged.
        BackupSystemError: it could not be looked at.
    """
    facts = manifest.facts
    if not isinstance(facts, SqlFacts):
        raise InvalidRequestError(f"{manifest.id} is no backup of SQL Server.")
    blobs = []
    for number, ref in enumerate(facts.files):
        check_unchanged(storage, ref)
        # What the medium downloads for the server is hashed on the way; else it is read here.
        read = ref.sha256 is not None and medium.name == "url"
        if read:
            _read(storage, ref)
        blobs.append({**ref.as_json(), "sha256_checked": read or medium.name == "disk"})
        progress(30 * (number + 1) // len(facts.files))
    with server.session() as session:
        version = inspection.server_info(session).version
    return {
        "backup_id": manifest.id,
        "backup_set_uuid": facts.backup_set_uuid,
        "blobs": blobs,
        "server_version": version,
        "server_said": _asked(server, medium, facts, scaled(progress, 30, 100)),
    }


def _asked(server: Server, medium: Medium, facts: SqlFacts, progress: Progress) -> str:
    """What SQL Server says of the backup; where our login may not ask, that it was not asked.

    RESTORE VERIFYONLY needs the right to create databases (Microsoft: "RESTORE Statements - VERIFYONLY",
    permissions), which a login that only backs up need not have.
    """
    try:
        with medium.lend(facts.files, scaled(progress, 0, 40)) as devices:
            answer = run_long(
                server,
                statements.verify_only(devices),
                proof=messages.BACKUP_SET_VALID,
                progress=scaled(progress, 40, 100),
            )
    except NotPermittedError as error:
        if error.specific_code != MAY_NOT:
            raise
        return f"not asked, for our login may not: {error.message}"
    return next(message.text for message in answer if message.number == messages.BACKUP_SET_VALID)


def _read(storage: Storage, ref: BlobRef) -> None:
    for _ in download.read(storage, ref):  # it compares size and SHA-256 itself
        pass
