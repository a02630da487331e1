"""The tar of a snapshot: packed and unpacked with the layout of a real server.

GNU tar with sparse entries, for a collection of a few hundred points has files of 136 MB that are nearly all
holes::

    {shard}/segments/{uuid}.tar   a tar of its own; names inside begin with snapshot/files/
    {shard}/wal/…                 the write-ahead log
    {shard}/replica_state.json  {shard}/shard_config.json
    version.info  config.json  shard_key_mapping.json  payload_index.json
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

# No padding to GNU tar's usual 10 KiB records, no owner of the machine it runs on.
TAR = ("tar", "--sparse", "--format=gnu", "--blocking-factor=1", "--owner=0", "--group=0", "--numeric-owner")
INNER_PREFIX = "snapshot/files"
DESCRIPTION = ("version.info", "config.json", "shard_key_mapping.json", "payload_index.json")
IDENTITY = ("replica_state.json", "shard_config.json")
BLOCK = 512


class UnpackError(Exception):
    """A snapshot's tar cannot be unpacked; the text is what a real server says of it."""


def pack(collection: Path, shard_ids: Sequence[int], staging: Path, target: Path) -> None:
    """Write the snapshot of the collection in a folder; nothing in it may change meanwhile.

    Args:
        collection: the collection's folder.
        shard_ids: its shards.
        staging: an empty folder for the tars of the segments.
        target: the file to write.
    """
    command = [*TAR, "--create", "--file", str(target)]
    for shard_id in shard_ids:
        inner = staging / str(shard_id) / "segments"
        inner.mkdir(parents=True)
        segments = sorted(folder.name for folder in (collection / str(shard_id) / "segments").iterdir())
        for segment in segments:
            _pack_segment(collection / str(shard_id) / "segments" / segment, inner / f"{segment}.tar")
        command += ["--directory", str(staging), *(f"{shard_id}/segments/{name}.tar" for name in segments)]
        wal = sorted(file.name for file in (collection / str(shard_id) / "wal").iterdir())
        command += ["--directory", str(collection), *(f"{shard_id}/wal/{name}" for name in wal)]
        command += [f"{shard_id}/{name}" for name in IDENTITY]
    command += ["--directory", str(collection), *DESCRIPTION]
    subprocess.run(command, check=True, capture_output=True)


def _pack_segment(folder: Path, target: Path) -> None:
    rename = f"--transform=s,^\\.,{INNER_PREFIX},"
    subprocess.run(
        [*TAR, "--create", "--sort=name", "--file", str(target), rename, "--directory", str(folder), "."],
        check=True,
        capture_output=True,
    )
    os.utime(target, (0, 0))  # a real server gives this entry no date either


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar, and hold it to what a server accepts: folders, plain and sparse files, no early end.

    Raises:
        UnpackError: it is cut off, is no tar, or holds something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not archive.stat().st_size:
        return
    with archive.open("rb") as file:
        name = ""
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    name = member.name
                    if not (member.isreg() or member.isdir()):
                        raise UnpackError(f"Malformed tar archive, unsupported entry type for {name}")
                    tar.extract(member, folder, filter="data")
                end = tar.offset
        except (tarfile.TarError, OSError) as error:
            if not name:
                raise UnpackError("Malformed tar archive, reached unknown entry") from error
            raise UnpackError(f"failed to unpack `{folder / name}`") from error
        file.seek(end)
        if file.read(BLOCK).strip(b"\0") or (archive.stat().st_size - end) % BLOCK:
            raise UnpackError("Malformed tar archive, reached unknown entry")


def unpack_segments(shard: Path) -> None:
    """Replace every ``segments/{uuid}.tar`` of an unpacked shard by the folder of that segment.

    Raises:
        UnpackError: a segment's tar cannot be unpacked.
    """
    for archive in sorted((shard / "segments").glob("*.tar")):
        folder = archive.with_suffix("")
        scratch = archive.with_suffix(".unpacked")
        unpack(archive, scratch)
        (scratch / INNER_PREFIX).rename(folder)
        shutil.rmtree(scratch)
        archive.unlink()
