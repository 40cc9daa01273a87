"""Copying files to the device: each only once, verified there, never half-written.

Files are stored by content, ``objects/<sha256>``, in the device's cache folder. A run gets a
folder of its own with hard links to its objects, which is removed when the run is over.
"""

import contextlib
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitat_deploy.bundle import file_sha256
from bitat_deploy.device.connection import USUAL, Connection, Limit, LineSink, Result
from bitat_deploy.errors import RunFailedError

# The checksums of files, as whatever a system has prints them: on each line, the checksum and, in
# any order and form, the file's name.
_CHECKSUMS = r"""
checksums() {
  for tool in sha256sum sha256 'shasum -a 256' 'openssl dgst -sha256' 'busybox sha256sum'; do
    if command -v "${tool%% *}" >/dev/null; then $tool "$@"; return; fi
  done
  echo 'there is no program sha256sum, sha256, shasum or openssl: install one of them' >&2
  return 1
}
"""

# $1 cache folder, then names of objects. Prints those that are there and intact, and removes what
# was unused for long or left by a lost connection. The folder of a run that is under way stays,
# however old it looks: the clock of a device without a battery may jump by months. Starts few
# processes: on a small board starting one takes longer than its work here.
_PRESENT = rf"""
set -eu
{_CHECKSUMS}
umask 077
mkdir -p "$1/objects" "$1/runs"
# In a folder for everybody, like /tmp, somebody else may have made it to change what we run.
if [ -k "$1/.." ] && ! [ -O "$1" ]; then echo 'it belongs to another user' >&2; exit 1; fi
cd "$1"
find objects -type f \( -name '.incoming-*' -mmin +60 -o -mtime +30 \) -exec rm -f {{}} +
find runs -mindepth 1 -maxdepth 1 -mmin +1440 | while read -r run; do
  ls -l /proc/[0-9]*/cwd 2>/dev/null | grep -qF -- "-> $(pwd -P)/$run" || rm -rf "$run"
done
cd objects
shift
for object do
  shift
  if [ -f "$object" ]; then set -- "$@" "$object"; fi
done
if [ $# -gt 0 ]; then touch -c "$@"; checksums "$@"; fi
"""

# $1 objects folder, $2 random name, $3 sha256, $4 mode; the content comes by standard input.
_RECEIVE = rf"""
set -eu
{_CHECKSUMS}
umask 077
incoming="$1/.incoming-$2"
trap 'rm -f "$incoming"' EXIT
trap 'exit 1' HUP INT TERM PIPE
cat > "$incoming"
checksum=$(checksums "$incoming")
case $checksum in
  *"$3"*) ;;
  *) echo 'it arrived incomplete; run it again' >&2; exit 1 ;;
esac
chmod "$4" "$incoming"
mv -f "$incoming" "$1/$3"
"""

# $1 cache folder, $2 run folder, then pairs of object and path. Copies if links are impossible.
_LINK = r"""
set -eu
umask 077
cd "$1"
mkdir "$2"
run=$2
shift 2
while [ $# -gt 0 ]; do
  case $2 in */*) [ -d "$run/${2%/*}" ] || mkdir -p "$run/${2%/*}" ;; esac
  ln "objects/$1" "$run/$2" 2>/dev/null || cp -p "objects/$1" "$run/$2"
  shift 2
done
"""


# $1 is the run folder, the rest a command. The shell waits instead of becoming the command, so that
# a signal becomes an exit code, which SSH alone would not pass on.
_RUN = 'cd "$1" && shift && "$@"; exit $?'

# $1 is the file; the content comes by standard input.
_WRITE = 'umask 077; cat > "$1"'

_SLOWEST = 10_000  # bytes in a second, over a link that is worth waiting for

# Called with the bytes sent, and the bytes of all files, whether the device had them or not.
OnBytes = Callable[[int, int], None]


@dataclass(frozen=True)
class PushFile:
    """A file for the device: ``path`` is its place in the run folder."""

    source: Path
    path: str
    sha256: str
    size: int
    executable: bool = False


def push_file(source: Path, path: str, *, executable: bool = False) -> PushFile:
    """The file ``source`` as it is now, for ``path`` in the run folder."""
    return PushFile(source, path, file_sha256(source), source.stat().st_size, executable)


@dataclass(frozen=True)
class RunFolder:
    """A run's files on the device; how many bytes had to be sent for them, in how many seconds."""

    connection: Connection
    path: str
    bytes_sent: int
    seconds: float

    def run(
        self, command: Sequence[str], *, on_error: LineSink | None = None, limit: Limit = USUAL
    ) -> Result:
        """Run ``command`` in the folder, as :meth:`Connection.run` does."""
        shell = ["sh", "-c", _RUN, "sh", self.path]
        return self.connection.run([*shell, *command], on_error=on_error, limit=limit)

    def write(self, name: str, source: Path) -> Result:
        """Copy ``source`` to the file ``name`` of this run."""
        command = ["sh", "-c", _WRITE, "sh", f"{self.path}/{name}"]
        return self.connection.run(command, stdin=source, limit=_sending(source.stat().st_size))

    def read(self, name: str, size: int) -> Result:
        """The file ``name`` of at most ``size`` bytes, on the result's standard output."""
        limit = Limit(size, _sending(size).seconds)
        return self.connection.run(["cat", f"{self.path}/{name}"], limit=limit)


@contextlib.contextmanager
def pushed(
    connection: Connection,
    cache: str,
    identity: str,
    files: Sequence[PushFile],
    on_bytes: OnBytes = lambda sent, total: None,
) -> Iterator[RunFolder]:
    """Keep ``files`` in a folder of their own on the device for as long as the block lasts.

    ``cache`` is the device's cache folder, ``identity`` begins the folder's name. Raises
    RunFailedError.
    """
    start = time.monotonic()
    root = f"{cache}/bitat-deploy"
    total = sum(file.size for file in files)
    sent = 0
    for file in _absent(connection, root, files):
        _send(connection, root, file)
        sent += file.size
        on_bytes(sent, total)
    run_folder = f"runs/{identity[:16]}-{secrets.token_hex(4)}"
    links = [part for file in files for part in (file.sha256, file.path)]
    try:  # Ctrl-C may come as soon as the folder is there
        linked = connection.run(["sh", "-c", _LINK, "sh", root, run_folder, *links])
        _check(connection, linked, f"the run folder '{root}/{run_folder}'")
        yield RunFolder(connection, f"{root}/{run_folder}", sent, time.monotonic() - start)
    finally:
        # After a lost connection the folder stays; the next push removes it.
        with contextlib.suppress(RunFailedError):
            connection.run(["rm", "-rf", f"{root}/{run_folder}"])


def _absent(connection: Connection, root: str, files: Sequence[PushFile]) -> list[PushFile]:
    names = [file.sha256 for file in files]
    result = connection.run(["sh", "-c", _PRESENT, "sh", root, *names])
    _check(connection, result, f"the folder '{root}'")
    present = set()
    for line in result.stdout.decode(errors="replace").splitlines():
        checksums = re.findall("[0-9a-f]{64}", line)
        if len(checksums) == 2 and len(set(checksums)) == 1:
            present.add(checksums[0])
    unique = {file.sha256: file for file in files if file.sha256 not in present}
    return list(unique.values())


def _send(connection: Connection, root: str, file: PushFile) -> None:
    mode = "755" if file.executable else "644"
    arguments = [f"{root}/objects", secrets.token_hex(8), file.sha256, mode]
    command = ["sh", "-c", _RECEIVE, "sh", *arguments]
    result = connection.run(command, stdin=file.source, limit=_sending(file.size))
    _check(connection, result, f"'{file.path}'")


def _sending(size: int) -> Limit:
    """The limit of a command that sends ``size`` bytes."""
    return Limit(seconds=USUAL.seconds + size / _SLOWEST)


def _check(connection: Connection, result: Result, what: str) -> None:
    if result.exit_code == 0:
        return
    if "No space left" in result.stderr or "quota" in result.stderr.lower():
        raise RunFailedError(
            f"the disk of '{connection.name}' is full: {what} could not be stored and was "
            "removed again; make room there"
        )
    raise RunFailedError(f"{what} could not be stored on '{connection.name}': {result.last_error}")
