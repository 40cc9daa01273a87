"""Shared fixtures: a separate cache for the tests, and devices reached over SSH."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from xdist.remote import Producer

from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.onnx_format import to_onnx
from bitat_deploy.paths import cache_directory
from bitat_deploy.target import load_target
from tests import ssh_devices
from tests.drawn_networks import draw_network
from tests.scheduling import Scheduling, rank
from tests.ssh_devices import LocalSshd, VirtualPi

# Costly to fetch or to build, and the same for everybody: taken from the user's own cache.
SHARED_CACHES = ("datasets", "runner", "runtime", "training", "virtual-pi")

# Built by this run, and the same for all its workers.
CACHES_OF_THE_RUN = ("bundles",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first."""
    items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """With several workers, one of them has the virtual Pi, and a file's tests stay together."""
    return Scheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Point XDG_CACHE_HOME to a folder of this run, so that the user's last build stays."""
    shared = cache_directory()
    root = tmp_path_factory.mktemp("cache")
    (root / shared.name).mkdir()
    for name in SHARED_CACHES:
        (shared / name).mkdir(parents=True, exist_ok=True)
        (root / shared.name / name).symlink_to(shared / name)
    for name in CACHES_OF_THE_RUN:
        of_the_run = _folder_of_the_run(tmp_path_factory) / name
        of_the_run.mkdir(exist_ok=True)
        (root / shared.name / name).symlink_to(of_the_run)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_CACHE_HOME", str(root))
        environment.setenv("XDG_DATA_HOME", str(root / "data"))  # no tuning records of the user's
        environment.setenv(
            "ZIG_GLOBAL_CACHE_DIR",
            os.environ.get("ZIG_GLOBAL_CACHE_DIR", str(shared.parent / "zig")),
        )
        yield root


@pytest.fixture(scope="session")
def host_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn network, for Fashion-MNIST's images, built for this machine."""
    return _build("host", _folder_of_the_run(tmp_path_factory))


@pytest.fixture(scope="session")
def rpi4_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network, built for a Raspberry Pi 4."""
    return _build("rpi4", _folder_of_the_run(tmp_path_factory))


@pytest.fixture(scope="session")
def rpi_32bit_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network, built for a 32-bit Raspberry Pi OS: a static bundle."""
    return _build("rpi-32bit", _folder_of_the_run(tmp_path_factory))


def _build(target: str, root: Path) -> Path:
    """One worker builds it; the others wait for that."""
    folder = root / f"{target}-bundle"
    model, bundle = folder / "model.onnx", folder / "bundle"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not bundle.exists():
            folder.mkdir(exist_ok=True)
            network = draw_network(1, (28, 28, 1), (16, 2), ((32, 2), (32, 1)))
            onnx.save(to_onnx(replace(network, metadata={"dataset": "fashion-mnist"})), model)
            build_bundle(model, load_target(target), bundle)
    return bundle


def _folder_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The temporary folder that all workers of this run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def sshd(own_cache: Path) -> Iterator[LocalSshd]:
    """A private OpenSSH server on 127.0.0.1, for all tests of a run."""
    # Not below pytest's folder: sshd limits the length of a path to a socket.
    with (
        tempfile.TemporaryDirectory(prefix="sshd-") as state,
        ssh_devices.local_sshd(Path(state)) as device,
    ):
        yield device


@pytest.fixture
def local_sshd(sshd: LocalSshd) -> LocalSshd:
    """This machine as a device. What earlier tests' lost connections left in a run is gone."""
    shutil.rmtree(sshd.home / ".cache" / "bitat-deploy" / "runs", ignore_errors=True)
    return sshd


@pytest.fixture(scope="session")
def virtual_pi(own_cache: Path) -> Iterator[VirtualPi]:
    """The contributor's virtual Pi if it is up, else one that lives as long as the tests."""
    _skip_on_request()
    running = ssh_devices.running_virtual_pi()
    if running is not None:
        yield running
        return
    with ssh_devices.virtual_pi(f"tests-{os.getpid()}") as device:
        yield device


@pytest.fixture
def doomed_virtual_pi(own_cache: Path) -> Iterator[VirtualPi]:
    """A virtual Pi for one test, which may destroy it."""
    _skip_on_request()
    with ssh_devices.virtual_pi(f"doomed-{os.getpid()}") as device:
        yield device


@pytest.fixture(scope="session")
def virtual_pi_32_bit(own_cache: Path) -> Iterator[VirtualPi]:
    """A virtual Pi with a 32-bit user land on a 64-bit kernel."""
    _skip_on_request()
    with ssh_devices.virtual_pi(f"armhf-{os.getpid()}", "--arch", "armhf") as device:
        yield device


def _skip_on_request() -> None:
    """BITAT_DEPLOY_WITHOUT_VIRTUAL_PI=1 leaves out what needs qemu (CONTRIBUTING.md)."""
    if os.environ.get("BITAT_DEPLOY_WITHOUT_VIRTUAL_PI"):
        pytest.skip("BITAT_DEPLOY_WITHOUT_VIRTUAL_PI is set")
