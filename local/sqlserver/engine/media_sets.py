"""Opening the devices that a RESTORE names as one media set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from local.sqlserver.engine.errors import SqlError
from local.sqlserver.media.devices import Devices
from local.sqlserver.media.format import FamilyReader, MediaReader

if TYPE_CHECKING:
    from local.sqlserver.engine.instance import Instance


def open_families(instance: Instance, addresses: Sequence[tuple[str, str]]) -> list[FamilyReader]:
    """The devices, each with its header and trailer read.

    Raises:
        SqlError: 3201 cannot be opened, 3241 or 3256 not a whole backup, 3169 made by a newer server.
    """
    devices = Devices(instance.credentials, instance.options.data_dir / "backup")
    families = []
    for kind, given in addresses:
        address = devices.address(kind, given)
        families.append(FamilyReader(address, devices.open(kind, address)))
    for family in families:
        release = family.facts["release"]
        if release[0] > instance.release[0]:
            mine = ".".join(f"{part:02d}" for part in instance.release[:3])
            raise SqlError(3169, ".".join(f"{part:02d}" for part in release[:3]), mine)
    return families


def open_set(instance: Instance, addresses: Sequence[tuple[str, str]]) -> MediaReader:
    """The devices as a whole set.

    Raises:
        SqlError: what ``open_families`` raises, 3132 a device is missing, 3258 a device is of another set.
    """
    return MediaReader(open_families(instance, addresses))
