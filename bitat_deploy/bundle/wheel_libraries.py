"""Shared libraries from Python wheels, also for architectures other than this machine's.

pip fetches the wheels once and checks them against the hashes in a requirements file. The
libraries are then kept in the cache, and their own sha256 is checked at every use.
"""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bitat_deploy.errors import BuildError
from bitat_deploy.files import scratch_folder, whole_folder
from bitat_deploy.paths import cache_directory

# What pip says of a wheel that has not the hash of the requirements file.
_OTHER_CONTENT = "DO NOT MATCH THE HASHES"


@dataclass(frozen=True)
class WheelLibraries:
    """Libraries of one architecture, called ``title`` in messages, and their source.

    ``folder`` is their folder's name in the cache; ``package`` is our package that contains the
    file ``requirements``; ``places`` maps each library to its path in the wheel, ``sha256`` to its
    checksum.
    """

    title: str
    architecture: str
    folder: str
    package: str
    requirements: str
    places: Mapping[str, str]
    sha256: Mapping[str, str]

    def paths(self) -> tuple[Path, ...]:
        """The libraries, fetched if the cache lacks them. Raises BuildError."""
        folder = cache_directory() / "runtime" / self.folder
        if not self._is_intact(folder):
            self._fetch(folder)
        return tuple(folder / name for name in self.places)

    def _is_intact(self, folder: Path) -> bool:
        return all(
            (folder / name).is_file()
            and hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
            for name, sha256 in self.sha256.items()
        )

    def _fetch(self, folder: Path) -> None:
        """Fill ``folder``; it appears complete or not at all."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            scratch_folder(folder.parent, ".wheels-") as wheels,
            whole_folder(folder, ".fetch-") as unfinished,
        ):
            self._download(wheels)
            for wheel in wheels.glob("*.whl"):
                self._extract(wheel, unfinished)
            if not self._is_intact(unfinished):
                raise BuildError(
                    f"{self.title} for {self.architecture} are not those that this version of "
                    "bitat-deploy was made for; reinstall bitat-deploy"
                )

    def _download(self, destination: Path) -> None:
        with resources.as_file(resources.files(self.package) / self.requirements) as path:
            # The wheels' Python version does not matter; one is fixed so that the hashes are too.
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--only-binary=:all:", "--platform", f"manylinux_2_28_{self.architecture}"]
            command += ["--implementation", "cp", "--python-version", "3.11"]
            command += ["--require-hashes", "--requirement", str(path), "--dest", str(destination)]
            finished = subprocess.run(
                command, capture_output=True, text=True, errors="replace", check=False
            )
        if finished.returncode != 0:
            if _OTHER_CONTENT in finished.stderr:
                raise BuildError(
                    f"{self.title} for {self.architecture} come from a package index whose wheels "
                    "are not those that were published (their sha256 differs), as with a mirror "
                    "that builds wheels again; let pip fetch these from PyPI itself"
                )
            lines = finished.stderr.strip().splitlines() or ["pip failed"]
            errors = [line for line in lines if line.startswith("ERROR")]
            reason = (errors or lines)[-1].removeprefix("ERROR: ")
            raise BuildError(
                f"{self.title} for {self.architecture} could not be fetched ({reason}); they are "
                "needed once: check the network and try again"
            )

    def _extract(self, wheel: Path, destination: Path) -> None:
        """Extract the libraries from a wheel, only by their known names."""
        with zipfile.ZipFile(wheel) as archive:
            present = set(archive.namelist())
            for name, place in self.places.items():
                if place in present:
                    with archive.open(place) as source, (destination / name).open("wb") as sink:
                        shutil.copyfileobj(source, sink)
