"""Where clients find Microsoft's ODBC driver: inside the wheel of PyPI's ``mssql-python-odbc``."""

from __future__ import annotations

import platform
from pathlib import Path

import mssql_python_odbc

_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


def driver_path() -> str:
    """The absolute path of Microsoft's ODBC driver for this machine, for ``DRIVER={…}``.

    Raises:
        FileNotFoundError: the wheel holds no driver for this platform.
    """
    machine = _MACHINES.get(platform.machine().lower(), platform.machine().lower())
    root = Path(mssql_python_odbc.get_libs_dir())
    family = "macos" if platform.system() == "Darwin" else _linux_family()
    found = sorted((root / family).glob(f"{machine}/lib/libmsodbcsql*"))
    if platform.system() == "Darwin" and not found:
        found = sorted((root / family).glob("**/libmsodbcsql*.dylib"))
    if not found:
        raise FileNotFoundError(f"mssql-python-odbc holds no driver for {platform.platform()} in {root}.")
    return str(found[-1])


def connection_string(port: int, password: str, *, database: str = "master", application: str = "") -> str:
    """An ODBC connection string for a stand-in on 127.0.0.1, as ``sa``."""
    parts = {
        "DRIVER": f"{{{driver_path()}}}",
        "SERVER": f"127.0.0.1,{port}",
        "UID": "sa",
        "PWD": f"{{{password.replace('}', '}}')}}}",
        "DATABASE": f"{{{database.replace('}', '}}')}}}",
        "APP": application or "octopus-backup",
        "Encrypt": "yes",
        "TrustServerCertificate": "yes",
    }
    return ";".join(f"{key}={value}" for key, value in parts.items())


def _linux_family() -> str:
    if Path("/etc/alpine-release").exists():
        return "linux/alpine"
    if Path("/etc/redhat-release").exists():
        return "linux/rhel"
    return "linux/debian_ubuntu"
