"""llvm-mca: cycles of a block in its steady state, the block repeated without end."""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from bitat_deploy.errors import BuildError, InputError

_ITERATIONS = 100
_NEWEST, _OLDEST = 30, 14  # releases of LLVM that are looked for
_SKIPS_UNKNOWN = 20  # the release that can leave out what a processor's tables lack
_NOT_MODELLED = ("bl ", "ret", "b ")


@lru_cache(maxsize=1)
def find_llvm_mca() -> str:
    """The newest llvm-mca on this machine. Raises InputError where there is none."""
    names = [f"llvm-mca-{version}" for version in range(_NEWEST, _OLDEST - 1, -1)]
    for name in [*names, "llvm-mca"]:
        if found := shutil.which(name):
            return found
    raise InputError(
        "the static cycle model needs llvm-mca, which is not installed; "
        "install it with: apt-get install --no-install-recommends llvm-22 (or llvm)"
    )


@lru_cache(maxsize=1)
def llvm_mca_version() -> str:
    """Release of LLVM that costs the blocks; its processor models change between releases."""
    text = subprocess.run([find_llvm_mca(), "--version"], capture_output=True, text=True).stdout
    match = re.search(r"version (\S+)", text)
    return match[1] if match else Path(find_llvm_mca()).name


def block_cycles(
    blocks: Sequence[Sequence[str]], processor: str, features: Sequence[str]
) -> list[float]:
    """Cycles of one run of each block of AArch64 instructions on ``processor``, LLVM's name.

    Raises InputError where there is no llvm-mca, BuildError where it fails.
    """
    lines = []
    for number, block in enumerate(blocks):
        body = [text for text in block if not text.startswith(_NOT_MODELLED)]
        if body:
            # Releases before 22 take no region from a comment that begins with "//".
            lines += [f"# LLVM-MCA-BEGIN {number}", *body, "# LLVM-MCA-END"]
    command = [find_llvm_mca(), "-mtriple=aarch64-linux-gnu", f"-mcpu={processor}", "-json"]
    command += [f"-iterations={_ITERATIONS}", f"-mattr={','.join(features)}"]
    if int(llvm_mca_version().split(".")[0]) >= _SKIPS_UNKNOWN:
        command.append("-skip-unsupported-instructions=lack-sched")
    result = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True)
    if result.returncode:
        first = result.stderr.strip().splitlines()[:1]
        raise BuildError(f"llvm-mca failed for '{processor}': {''.join(first)}")
    regions = json.loads(result.stdout[result.stdout.index("{") :])["CodeRegions"]
    cycles = [0.0] * len(blocks)
    for region in regions:
        cycles[int(region["Name"])] = region["SummaryView"]["TotalCycles"] / _ITERATIONS
    return cycles
