"""How scripts/test distributes the tests among pytest-xdist's workers.

The tests of a file stay on one worker, as they share fixtures. So do all files that use a virtual
Pi: the machine has too few cores for two of them. Long tests come first, so that at the end no
worker waits for another.
"""

from functools import cache
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[1]

VIRTUAL_PI = "virtual Pi"

# After the virtual Pi's: files and folders whose tests take half a minute or more.
LONG = (
    "tests/operators/",
    "tests/bundle/test_static_runner.py",
    "tests/bundle/test_device_library.py",
    "tests/examples/",
    "tests/tuning/",
    "tests/baseline/",
    "tests/benchmarks/",
    "tests/compiler/test_cross_compiler.py",
    "tests/training/test_train_command.py",
    "tests/training/test_distributed.py",
    "tests/bad_input/",
    "tests/foreign/",
    "tests/device/test_ssh_configurations.py",
    "tests/device/test_connection.py",
)


def group(test: str) -> str:
    """What the test with this node id is run together with, on one worker."""
    return _group_of_file(test.partition("::")[0])


@cache
def _group_of_file(file: str) -> str:
    return VIRTUAL_PI if "virtual_pi" in (ROOT / file).read_text() else file


def rank(test: str) -> int:
    """Tests of a smaller rank begin first."""
    name = group(test)
    if name == VIRTUAL_PI:
        return 0
    places = (place for place, long in enumerate(LONG, start=1) if name.startswith(long))
    return next(places, len(LONG) + 1)


class Scheduling(LoadScopeScheduling):
    """As ``--dist loadgroup``, which finds no groups since pytest 9.2 (pytest-xdist 3.8)."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # by number of tests; ours are in order

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
