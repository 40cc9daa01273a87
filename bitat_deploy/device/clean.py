"""Removing from a device what pushing and running left there."""

import re

from bitat_deploy.device.connection import Connection
from bitat_deploy.errors import RunFailedError

# $1 is "force", or empty; $2 the folder for our files, empty for the cache folder. Prints the bytes
# of what it removes, each file counted once however many links it has. A run is under way where a
# process works in its folder, and may be where a folder or an incoming file is fresh: a push or a
# bench takes minutes.
_CLEAN = r"""
set -eu
export LC_ALL=C
root=${2:-${XDG_CACHE_HOME:-$HOME/.cache}}/bitat-deploy
if ! [ -d "$root" ]; then echo 0; exit 0; fi
cd -P "$root"
set -- "$1" $(for name in objects runs; do if [ -e "$name" ] || [ -h "$name" ]; then
  echo "$name"; fi; done)
force=$1
shift
if [ $# -eq 0 ]; then echo 0; exit 0; fi
if [ -z "$force" ]; then
  busy=$(find "$@" \( -path 'runs/*' -prune -o -name '.incoming-*' \) -mmin -60 | head -n 1)
  if [ "$busy" ]; then echo "fresh $busy" >&2; exit 20; fi
  if ls -l /proc/[0-9]*/cwd 2>/dev/null | grep -qF -- "-> $PWD/runs/"; then
    echo 'a process works there' >&2
    exit 20
  fi
fi
find "$@" -type f -exec ls -lin {} + |
  awk '!seen[$1]++ { bytes += $6 } END { printf "%d\n", bytes }'
rm -rf "$@"
cd /
rmdir "$root" 2>/dev/null || :
"""
_BUSY = 20


def clean_device(connection: Connection, *, force: bool = False) -> int:
    """Remove ``objects`` and ``runs`` from our folder on the device, and it too if then empty.

    Returns the bytes of the removed files. Unless ``force``, raises RunFailedError where a run is
    under way, or was broken off within the last hour.
    """
    arguments = ["force" if force else "", connection.folder]
    result = connection.run(["sh", "-c", _CLEAN, "sh", *arguments])
    if result.exit_code == _BUSY:
        raise RunFailedError(
            f"on '{connection.name}' a run is under way, or was broken off within the last hour; "
            "nothing was removed: wait for its end, or use --force"
        )
    if result.exit_code != 0:
        raise RunFailedError(f"'{connection.name}' could not be cleaned: {result.last_error}")
    if not re.fullmatch(rb"[0-9]{1,18}\n", result.stdout):
        raise RunFailedError(f"'{connection.name}' does not tell what it removed; clean it again")
    return int(result.stdout)
