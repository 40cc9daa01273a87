"""Measure a network in ncnn, as the runner measures others: options and document.

Only the inference is timed. The model is ncnn's parameter file; its weights are zeros, so that the
logits say nothing and none are written. The package ncnn has to stand beside this program or be
installed.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import ncnn
import numpy as np


def main() -> None:
    """Parse the runner's options, measure, print the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("model", "images", "logits"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--shape", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--min-runs", type=int, default=50)
    parser.add_argument("--min-seconds", type=float, default=1.0)
    options = parser.parse_args()
    height, width, channels = (int(extent) for extent in options.shape.split("x"))

    start = time.perf_counter_ns()
    network = ncnn.Net()
    network.opt.use_vulkan_compute = False
    network.opt.num_threads = options.threads
    network.opt.lightmode = True
    if network.load_param(str(options.model)) or network.load_model(ncnn.DataReaderFromEmpty()):
        raise SystemExit(f"ncnn cannot load '{options.model}'")
    load_ns = time.perf_counter_ns() - start
    image = ncnn.Mat(np.full((channels, height, width), 0.01, np.float32))

    first_ns, logits = _timed(network, image)
    for _ in range(options.warmup):
        _timed(network, image)
    durations: list[int] = []
    begin = time.perf_counter()
    while len(durations) < options.min_runs or time.perf_counter() - begin < options.min_seconds:
        durations.append(_timed(network, image)[0])
    peak = next(
        line.split()[1]
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    )
    document = {
        "schema_version": 1,
        "load_ns": load_ns,
        "first_inference_ns": first_ns,
        "warmup": options.warmup,
        "threads": options.threads,
        "images": 1,
        "classes": np.array(logits).size,
        "peak_rss_bytes": int(peak) * 1024,
        "cpu_ns": time.process_time_ns(),
        "durations_ns": durations,
        "layers_ns": [],
    }
    print(json.dumps(document))


def _timed(network: Any, image: Any) -> tuple[int, Any]:
    start = time.perf_counter_ns()
    with network.create_extractor() as extractor:
        extractor.input("data", image)
        error, logits = extractor.extract("logits")
    if error:
        raise SystemExit("ncnn cannot compute the network")
    return time.perf_counter_ns() - start, logits


if __name__ == "__main__":
    main()
