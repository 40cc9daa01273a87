"""Processes on this machine that build or model candidates side by side.

Each imports this module before it ignores Ctrl-C, so that it imports nothing slow.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection


@contextlib.contextmanager
def worker_processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """``count`` processes, which end with the block, and by themselves if this one is killed."""
    context = multiprocessing.get_context("spawn")  # TVM's threads do not survive a fork
    watched, lifeline = context.Pipe(duplex=False)
    with watched, lifeline:
        pool = ProcessPoolExecutor(
            count, mp_context=context, initializer=_prepare, initargs=(watched,)
        )
        try:
            yield pool
        finally:
            # Closing the lifeline then ends the processes: nobody waits for what they still build.
            pool.shutdown(wait=False, cancel_futures=True)


def _prepare(lifeline: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.nice(5)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """Wait until the other end is closed, by the parent or by its death."""
    lifeline.poll(None)
    os._exit(1)
