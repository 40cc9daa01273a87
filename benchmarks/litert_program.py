"""Measure a network in LiteRT with XNNPACK, as the runner measures others: options and document.

A Python program, as LiteRT's wheels have no headers to link a native one with. Only ``invoke`` is
timed, for which Python adds a few microseconds; the peak memory includes Python's.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def main() -> None:
    """Parse the runner's options, measure, write logits, print the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("model", "images", "logits"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--shape", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--min-runs", type=int, default=50)
    parser.add_argument("--min-seconds", type=float, default=1.0)
    options = parser.parse_args()
    shape = tuple(int(extent) for extent in options.shape.split("x"))
    images = np.fromfile(options.images, np.uint8).reshape(-1, 1, *shape)

    start = time.perf_counter_ns()
    interpreter = Interpreter(str(options.model), num_threads=options.threads)
    interpreter.allocate_tensors()
    load_ns = time.perf_counter_ns() - start
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()

    interpreter.set_tensor(source["index"], images[0])
    first_ns = _timed(interpreter)
    for _ in range(options.warmup):
        interpreter.invoke()
    durations: list[int] = []
    begin = time.perf_counter()
    while len(durations) < options.min_runs or time.perf_counter() - begin < options.min_seconds:
        durations.append(_timed(interpreter))
    logits = []
    for image in images:
        interpreter.set_tensor(source["index"], image)
        interpreter.invoke()
        logits.append(interpreter.get_tensor(sink["index"])[0])
    np.array(logits, np.float32).tofile(options.logits)
    document = {
        "schema_version": 1,
        "load_ns": load_ns,
        "first_inference_ns": first_ns,
        "warmup": options.warmup,
        "threads": options.threads,
        "images": len(images),
        "classes": len(logits[0]),
        "peak_rss_bytes": _peak_memory(),
        "cpu_ns": time.process_time_ns(),
        "durations_ns": durations,
        "layers_ns": [],
    }
    print(json.dumps(document))


def _timed(interpreter: Interpreter) -> int:
    start = time.perf_counter_ns()
    interpreter.invoke()
    return time.perf_counter_ns() - start


def _peak_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1024


if __name__ == "__main__":
    main()
