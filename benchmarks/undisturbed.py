"""Measuring on a machine that others use: real-time priority, with the other cores kept idle.

Two virtual cores often share one physical core, so that work on one halves the speed of the other.
So the other cores run a waiting loop at the same priority while a measurement lasts. Linux gives
real-time processes at most 95 % of each second, so the machine stays barely usable.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_PRIORITY = 1  # the lowest real-time priority, above all ordinary processes
_LONGEST_SECONDS = 60  # a loop that is left over ends itself

_LOOP = f"""
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>
int main(int count, char** arguments) {{
  cpu_set_t core;
  CPU_ZERO(&core);
  CPU_SET(atoi(arguments[count - 1]), &core);
  if (sched_setaffinity(0, sizeof core, &core) != 0) return 1;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  alarm({_LONGEST_SECONDS});
  for (;;) {{
#if defined(__x86_64__)
    __asm__ volatile("pause");
#else
    __asm__ volatile("yield");
#endif
  }}
}}
"""


class Undisturbed:
    """Call it for a context in which this process and its children have cores of their own."""

    def __init__(self, folder: Path) -> None:
        source, self._loop = folder / "wait.c", folder / "wait"
        source.write_text(_LOOP)
        command = [sys.executable, "-m", "ziglang", "cc", "-O1", str(source), "-o", str(self._loop)]
        subprocess.run(command, check=True)

    @contextlib.contextmanager
    def __call__(self, threads: int) -> Iterator[None]:
        """Keep ``threads`` cores for the measurement. Raises PermissionError without root."""
        cores, policy = os.sched_getaffinity(0), os.sched_getscheduler(0)
        ours, others = sorted(cores)[:threads], sorted(cores)[threads:]
        before = os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
        loops: list[subprocess.Popen[bytes]] = []
        try:
            os.sched_setaffinity(0, ours)
            # Each loop moves itself to its core: once it runs there, nothing else does.
            loops += [subprocess.Popen([str(self._loop), str(core)]) for core in others]
            yield
        finally:
            for loop in loops:
                loop.kill()
                loop.wait()
            os.sched_setaffinity(0, cores)
            os.sched_setscheduler(0, policy, before)
