"""Cache misses of each layer of a network: its bundle, run in the emulator with two caches."""

import re
import struct
import subprocess
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.contenders import our_contender
from benchmarks.emulator import Emulator
from benchmarks.executed_blocks import Executed
from bitat_deploy.cycle_model import find_llvm_mca
from bitat_deploy.errors import BuildError
from bitat_deploy.files import scratch_folder
from bitat_deploy.network import IntegerNetwork
from bitat_deploy.target import Target

_TELLING = 12  # instructions of a block by which its place in the file is recognised
_LAYER = re.compile(r"^([0-9a-f]+) [Tt] (?:__tvm_ffi_)?layer(\d+)_", re.MULTILINE)
_LOADED = 1


def layer_misses(network: IntegerNetwork, target: Target) -> list[tuple[float, float]]:
    """Lines that the first and the second level did not hold, of one inference, layer by layer.

    Caches as in the target's file, least recently used, without prefetching. Raises BuildError,
    RunFailedError.
    """
    with scratch_folder() as folder:
        image = np.random.default_rng(0).integers(0, 256, (1, *network.input_shape), dtype=np.uint8)
        ours, _ = our_contender(network, target, image, folder)
        blocks, _ = Emulator(target, folder, caches=True).inference(ours)
        return _by_layer(blocks, ours.model, len(network.layers))


def _by_layer(blocks: Sequence[Executed], library: Path, layers: int) -> list[tuple[float, float]]:
    base = _load_address(blocks, library)
    tool = find_llvm_mca().replace("llvm-mca", "llvm-nm")
    listed = subprocess.run([tool, library], capture_output=True, text=True, check=True)
    starts = sorted((int(at, 16), int(number)) for at, number in _LAYER.findall(listed.stdout))
    end = _segments(library.read_bytes())[-1][1]
    totals = [(0.0, 0.0)] * layers
    for block in blocks:
        place = block.address - base
        index = bisect_right(starts, (place, layers)) - 1
        if index >= 0 and place < end:
            number = starts[index][1]
            before, missed = totals[number], block.misses
            totals[number] = (before[0] + missed[0], before[1] + missed[1])
    return totals


def _load_address(blocks: Sequence[Executed], library: Path) -> int:
    """Where the library was loaded: what most of the blocks that are found in it agree on."""
    content = library.read_bytes()
    segments = _segments(content)
    votes: Counter[int] = Counter()
    for block in blocks:
        if len(block.words) < _TELLING:
            continue
        code = struct.pack(f"<{len(block.words)}I", *block.words)
        if content.count(code) == 1:
            offset = content.index(code)
            for start, end, delta in segments:
                if start <= offset + delta < end:
                    votes[block.address - offset - delta] += 1
    if not votes:
        raise BuildError(f"nothing that was executed is in '{library.name}'")
    return votes.most_common(1)[0][0]


def _segments(content: bytes) -> list[tuple[int, int, int]]:
    """Of what is loaded from an ELF file of 64 bits: addresses, and address less place in it."""
    first, size, count = (
        struct.unpack_from("<Q", content, 32)[0],
        *struct.unpack_from("<HH", content, 54),
    )
    found = []
    for index in range(count):
        kind, _, offset, address, _, length = struct.unpack_from(
            "<IIQQQQ", content, first + index * size
        )
        if kind == _LOADED:
            found.append((address, address + length, address - offset))
    return found
