"""Pipelines that llvm-mca does not model: short queues out of order, and in order.

A block runs over and over; its cycles are those of one run in the steady state. All loads hit the
first level of cache, and every branch is foreseen.

**Out of order** (the Cortex-A72). Micro-operations enter in order, ``width`` a cycle, into one
queue for each unit, and wait there until their operands are ready; the oldest that is ready starts.
Where a queue is full, nothing more enters. llvm-mca's queues hold everything in flight, so that a
chain of dependent instructions never keeps others out.

**In order** (the Cortex-A53). Up to two instructions start in a cycle, in order, each when its
operands and its unit are ready. An earlier instruction may finish later: llvm-mca makes an
instruction wait until its result is written after all earlier ones, which times of real boards
contradict (docs/performance.md). A multiply-accumulate needs its sum late. Operations on 128 bits
take both halves of the vector unit, so that one starts in a cycle.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from bitat_deploy.cycle_model.instruction import Instruction

_RUNS = 8  # of a block; the first third is not counted
_FEWEST_INSTRUCTIONS = 400  # simulated, of short blocks
_NEVER = float("inf")


@dataclass(frozen=True)
class OutOfOrder:
    """``width`` micro-operations enter in a cycle; queues of ``queue``; ``window`` in flight.

    A sum can be added to ``add_latency`` cycles after the last addition, in floating point
    ``fused_latency``.
    """

    width: int = 3
    queue: int = 8
    window: int = 128
    add_latency: int = 1
    fused_latency: int = 4

    def cycles(self, block: Sequence[Instruction]) -> float:
        """Cycles of one run."""
        runs = _runs_of(block)
        state = _Flight(self, list(block) * runs)
        marks: list[int] = []
        cycle = 0
        while len(marks) < runs:
            state.start(cycle)
            for retired in state.retire(cycle):
                if (retired + 1) % len(block) == 0:
                    marks.append(cycle)
            state.enter(cycle)
            cycle += 1
        return _steady(marks)


class _Flight:
    """What is between entering and retiring, of a stream of instructions."""

    def __init__(self, core: OutOfOrder, stream: Sequence[Instruction]) -> None:
        self.core, self.stream = core, stream
        self.result: list[float] = [_NEVER] * len(stream)  # when it can be read
        self.sum: list[float] = [_NEVER] * len(stream)  # when it can be added to
        self.left = [len(one.uses) for one in stream]
        self.sources: list[list[tuple[list[float], int]]] = []
        self.writer: dict[str, int] = {}
        self.queues: dict[str, list[tuple[int, int]]] = {}
        self.busy: dict[str, int] = {}
        self.window: deque[int] = deque()
        self.entered = self.use = 0

    def start(self, cycle: int) -> None:
        """Each free unit takes the oldest micro-operation that is ready."""
        for unit, queue in self.queues.items():
            if self.busy.get(unit, 0) > cycle:
                continue
            for place, (index, cycles) in enumerate(queue):
                if all(times[source] <= cycle for times, source in self.sources[index]):
                    del queue[place]
                    self.busy[unit] = cycle + cycles
                    self.left[index] -= 1
                    if self.left[index] == 0:
                        self._finish(index, cycle)
                    break

    def retire(self, cycle: int) -> list[int]:
        """In order, as many as can enter."""
        done: list[int] = []
        while len(done) < self.core.width and self.window:
            if self.result[self.window[0]] > cycle:
                break
            done.append(self.window.popleft())
        return done

    def enter(self, cycle: int) -> None:
        """In order, until a queue is full."""
        for _ in range(self.core.width):
            if self.entered == len(self.stream) or len(self.window) >= self.core.window:
                return
            one = self.stream[self.entered]
            if self.use == 0:
                self.sources.append(self._sources(one))
            if self.use < len(one.uses):
                units, cycles = one.uses[self.use]
                queues = [self.queues.setdefault(unit, []) for unit in sorted(units)]
                queue = min(queues, key=len)
                if len(queue) >= self.core.queue:
                    if self.use == 0:
                        self.sources.pop()
                    return
                queue.append((self.entered, cycles))
                self.use += 1
            else:
                self._finish(self.entered, cycle)  # needs no unit
            if self.use == len(one.uses):
                self._rename(one)

    def _rename(self, one: Instruction) -> None:
        self.window.append(self.entered)
        for name in one.writes:
            self.writer[name] = self.entered
        self.writer.pop(one.base, None)  # stepped in the next cycle, before anything needs it
        self.entered, self.use = self.entered + 1, 0

    def _sources(self, one: Instruction) -> list[tuple[list[float], int]]:
        found = [(self.result, self.writer[name]) for name in one.reads if name in self.writer]
        if one.accumulator in self.writer:
            found.append((self.sum, self.writer[one.accumulator]))
        return found

    def _finish(self, index: int, cycle: int) -> None:
        one = self.stream[index]
        self.result[index] = self.sum[index] = cycle + one.latency
        if one.accumulator:
            core = self.core
            self.sum[index] = cycle + (core.fused_latency if one.floats else core.add_latency)


@dataclass(frozen=True)
class InOrder:
    """The Cortex-A53: latencies of vectors in place of LLVM's, as measured by others."""

    vector_latency: int = 4
    fused_latency: int = 8
    fused_add_latency: int = 4
    add_latency: int = 1
    wide_load_cycles: int = 2

    def cycles(self, block: Sequence[Instruction]) -> float:
        """Cycles of one run."""
        runs = _runs_of(block)
        ready: dict[str, int] = {}
        sums: dict[str, int] = {}  # when a register may be added to
        free: dict[str, int] = {}
        cycle, slots, halves = 0, 2, 2  # of instructions, and of the vector unit
        marks = []
        for _ in range(runs):
            for one in block:
                uses = self._uses(one)
                needed = [ready.get(name, 0) for name in one.reads]
                needed += [free.get(unit, 0) for unit in uses]
                start = max([cycle, sums.get(one.accumulator, 0), *needed])
                half = (1 + one.wide) * one.is_vector
                if start == cycle and (slots == 0 or halves < half):
                    start += 1
                if start > cycle:
                    cycle, slots, halves = start, 2, 2
                slots, halves = slots - 1, halves - half
                for unit, busy in uses.items():
                    free[unit] = cycle + busy
                latency, adds = self._latency(one)
                for name in one.writes:
                    ready[name] = cycle + latency
                    sums[name] = cycle + adds
                if one.base:
                    ready[one.base] = cycle + 1
            marks.append(cycle)
        return _steady(marks)

    def _uses(self, one: Instruction) -> dict[str, int]:
        if one.loads or one.stores:
            registers = sum(name[0] == "v" for name in (one.writes if one.loads else one.reads))
            if registers == 0:  # one or two general registers
                return {"load": 1}
            return {"load": registers * (self.wide_load_cycles if one.wide else 1)}
        if one.name[0] == "b" or one.name in ("cbz", "cbnz", "tbz", "tbnz"):
            return {"branch": 1}
        return {"multiply": 1} if one.name in ("mul", "madd", "msub", "smull", "umull") else {}

    def _latency(self, one: Instruction) -> tuple[int, int]:
        """Of its result, and until the result may be added to."""
        if one.loads:
            vector = any(name[0] == "v" for name in one.writes)
            latency = 4 if vector else 3
            return latency, latency
        if not one.is_vector:
            latency = 3 if one.name in ("mul", "madd", "msub", "smull", "umull") else 1
            return latency, latency
        if one.floats and one.accumulator:
            return self.fused_latency, self.fused_add_latency
        return self.vector_latency, self.add_latency if one.accumulator else self.vector_latency


def _runs_of(block: Sequence[Instruction]) -> int:
    """How often a block is simulated."""
    return max(_RUNS, -(-_FEWEST_INSTRUCTIONS // len(block)))


def _steady(marks: Sequence[int]) -> float:
    """Cycles between ends of runs, without the first third of them."""
    first = len(marks) // 3
    return (marks[-1] - marks[first]) / (len(marks) - 1 - first)
