"""Whether a committed backup is still what it was, and SQL Server can read it."""

from __future__ import annotations

import hashlib
from typing import Any

from shared.blob import download
from shared.blob.storage import Storage
from shared.errors import IntegrityError, InvalidRequestError
from shared.model.backups import BlobRef, Manifest, SqlFacts
from shared.stores.sqlserver import inspection, messages, statements
from shared.stores.sqlserver.connection import Server
from shared.stores.sqlserver.execute import Progress, run_long, scaled
from shared.stores.sqlserver.media import Medium, check_unchanged


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
    with medium.lend(facts.files, scaled(progress, 30, 60)) as devices:
        answer = run_long(
            server,
            statements.verify_only(devices),
            proof=messages.BACKUP_SET_VALID,
            progress=scaled(progress, 60, 100),
        )
    said = next(message for message in answer if message.number == messages.BACKUP_SET_VALID)
    return {
        "backup_id": manifest.id,
        "backup_set_uuid": facts.backup_set_uuid,
        "blobs": blobs,
        "server_version": version,
        "server_said": said.text,
    }


def _read(storage: Storage, ref: BlobRef) -> None:
    digest = hashlib.sha256()
    for piece in download.read(storage, ref):
        digest.update(piece)
    if digest.hexdigest() != ref.sha256:
        raise IntegrityError(f"The blob {ref.container}/{ref.name} does not have its recorded SHA-256.")
