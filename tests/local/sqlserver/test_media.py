"""Backup media: files, stripes, damage, headers."""

from __future__ import annotations

from pathlib import Path

from tests.local.sqlserver.chains import Chain


def test_restored_files_exist_where_move_says(chain: Chain) -> None:
    target = f"{chain.database}_files"
    chain.start(target, options="RECOVERY")
    sql = "SELECT physical_name FROM sys.master_files WHERE database_id = DB_ID(?) ORDER BY file_id"
    paths = [Path(row[0]) for row in chain.client.rows(sql, target)]
    assert paths == [chain.folder / f"{target}.mdf", chain.folder / f"{target}.ldf"]
    assert all(path.exists() for path in paths)
    chain.client.run(f"DROP DATABASE [{target}]")
    assert not any(path.exists() for path in paths)


def test_every_stripe_is_needed(chain: Chain) -> None:
    client, name, at = chain.client, chain.database, chain.folder
    for number in range(2, 300):
        client.run(f"INSERT INTO [{name}].dbo.Items VALUES (?, REPLICATE(N'x', 50))", number)
    disks = [f"DISK = N'{at}/s{number}'" for number in range(3)]
    client.run(f"BACKUP LOG [{name}] TO {', '.join(disks)} WITH COMPRESSION")
    target = f"{name}_stripes"
    chain.start(target)
    assert client.error(f"RESTORE LOG [{target}] FROM {disks[0]}, {disks[2]} WITH RECOVERY") == 3132
    assert client.error(f"RESTORE VERIFYONLY FROM {disks[1]}") == 3132
    client.run(f"RESTORE LOG [{target}] FROM {', '.join(reversed(disks))} WITH RECOVERY")
    assert len(chain.rows(target)) == 299


def test_damage_is_found(chain: Chain) -> None:
    client, original = chain.client, (chain.folder / "full").read_bytes()
    verify = f"RESTORE VERIFYONLY FROM DISK = N'{chain.folder}/broken' WITH CHECKSUM"
    broken = chain.folder / "broken"
    broken.write_bytes(original)
    assert client.numbers(verify) == [3262]
    flipped = bytearray(original)
    flipped[len(flipped) // 2] ^= 1
    broken.write_bytes(flipped)
    assert client.error(verify) == 3183
    assert (
        client.error(
            chain.restore(
                f"{chain.database}_x",
                "broken",
                f"MOVE N'{chain.database}' TO N'{chain.folder}/x.mdf', MOVE"
                f" N'{chain.database}_log' TO N'{chain.folder}/x.ldf'",
                log=False,
            )
        )
        == 3183
    )
    assert chain.state(f"{chain.database}_x") == "RESTORING"
    broken.write_bytes(original[: len(original) // 2])
    assert client.error(verify) == 3256
    broken.write_bytes(b"PK" + original)
    assert client.error(verify) == 3241
    broken.write_bytes(b"")
    assert client.error(verify) == 3241
    assert client.error(verify.replace("broken", "missing")) == 3201


def test_a_backup_without_checksums_says_so(chain: Chain) -> None:
    chain.backup("DATABASE", "plain", "COPY_ONLY")
    verify = f"RESTORE VERIFYONLY FROM DISK = N'{chain.folder}/plain'"
    assert chain.client.error(f"{verify} WITH CHECKSUM") == 3187
    assert chain.client.numbers(verify) == [3262]


def test_headers_tell_what_msdb_told(chain: Chain) -> None:
    chain.insert()
    chain.backup("LOG", "log", "CHECKSUM, NAME = N'nightly', DESCRIPTION = N'id=1'")
    client = chain.client
    client.cursor.execute(f"RESTORE HEADERONLY FROM DISK = N'{chain.folder}/log'")
    header = dict(
        zip([column[0] for column in client.cursor.description], client.cursor.fetchone(), strict=True)
    )
    row = client.rows(
        "SELECT TOP (1) backup_set_uuid, first_lsn, last_lsn, name,"
        " description, family_guid, last_recovery_fork_guid"
        " FROM msdb.dbo.backupset WHERE database_name = ? ORDER BY backup_set_id DESC",
        chain.database,
    )[0]
    names = (
        "BackupSetGUID",
        "FirstLSN",
        "LastLSN",
        "BackupName",
        "BackupDescription",
        "FamilyGUID",
        "RecoveryForkID",
    )
    assert tuple(header[name] for name in names) == row
    assert header["BackupType"] == 2
    files = client.rows(f"RESTORE FILELISTONLY FROM DISK = N'{chain.folder}/log'")
    assert [(row[0], row[2]) for row in files] == [(chain.database, "D"), (f"{chain.database}_log", "L")]
    assert client.rows(f"RESTORE LABELONLY FROM DISK = N'{chain.folder}/log'")[0][2] == 1
