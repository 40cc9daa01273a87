"""A bench result as a JSON document, from which every report is made."""

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bitat_deploy.compiler import LayerReport
from bitat_deploy.device import MEDIAN, BaselineResult, BenchResult, Latency, Mistake
from bitat_deploy.errors import InputError
from bitat_deploy.files import whole_file
from bitat_deploy.report.noise import MINIMUM_RUNS, accuracy_interval, median_change_interval

SCHEMA_VERSION = 1


def bench_document(result: BenchResult, command: str = "") -> dict[str, Any]:
    """The result as plain JSON values, as schema.json describes them.

    ``command`` is the command line, where there was one. Make the document once: the intervals of
    the baselines are bootstrapped here.
    """
    device = asdict(result.device)
    device["features"] = sorted(device["features"])
    # Of no use to a reader.
    for private in ("cache", "write_refusal", "execute_refusal", "other_folder"):
        del device[private]
    accuracy = asdict(replace(result.accuracy, mistakes=()))
    accuracy["mistakes"] = [_mistake(one) for one in result.accuracy.mistakes]
    for key in ("class_names", "confusion", "logits_tolerance", "mistakes"):
        if not accuracy[key]:
            del accuracy[key]
    if accuracy["top1"] is None:
        del accuracy["top1"]
    else:
        accuracy["top1_interval"] = accuracy_interval(accuracy["top1"], accuracy["images"])
    target = result.target
    document = {
        "schema_version": SCHEMA_VERSION,
        "measured_at": result.measured_at,
        "options": {
            "min_runs": result.options.min_runs,
            "min_seconds": result.options.min_seconds,
            "profile_runs": result.options.profile_runs,
        },
        "model": {
            "name": result.model_name,
            "sha256": result.model_sha256,
            "metadata": result.model_metadata,
        },
        "target": target.name,
        "target_processor": {
            "description": target.description,
            "cpu": target.cpu,
            "features": list(target.features),
        },
        "dataset": result.dataset,
        "device": device,
        "threads": result.threads,
        "batch": result.batch,
        "images_per_second": result.images_per_second,
        "load_ms": result.load_ms,
        "first_inference_ms": result.first_inference_ms,
        "latency_ms": _latency(result.latency),
        "accuracy": accuracy,
        "memory": {"peak_rss_bytes": result.peak_rss_bytes},
        "size": {
            "model_bytes": result.model_bytes,
            "bundle_bytes": result.bundle_bytes,
            "pushed_bytes": result.pushed_bytes,
            "push_seconds": result.push_seconds,
        },
        "versions": result.versions,
        "health_before": asdict(result.health_before),
        "health_after": asdict(result.health_after),
        "not_trustworthy": list(result.not_trustworthy),
        "layers": _layers(result),
    }
    if command:
        document["command"] = command
    if (share := _clock_share(result)) is not None:
        document["clock_share_at_maximum"] = share
    if result.baselines:
        document["baselines"] = [_baseline(one, result.latency) for one in result.baselines]
    return document


def _clock_share(result: BenchResult) -> float | None:
    """The part of the time at full clock of the fastest cores; None where it was not counted."""
    before, after = result.health_before.fastest_clocks, result.health_after.fastest_clocks
    return after[0].share_at_limit(before[0]) if before and after else None


def _latency(latency: Latency) -> dict[str, Any]:
    document = asdict(latency)
    if not document["samples"]:
        del document["samples"]
    return document


def _baseline(baseline: BaselineResult, ours: Latency) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": baseline.name,
        "runtime": baseline.runtime,
        "model_bytes": baseline.model_bytes,
        "runtime_bytes": baseline.runtime_bytes,
    }
    if baseline.trained:
        document["trained"] = baseline.trained
    if baseline.top1 is not None:
        document["top1"] = baseline.top1
    run = baseline.run
    if run is None:
        return document | {"failure": baseline.failure}
    document |= {
        "load_ms": run.load_ms,
        "first_inference_ms": run.first_inference_ms,
        "latency_ms": _latency(run.latency),
        "latency_ratio": run.latency.headline / max(ours.headline, 1e-9),
        "peak_rss_bytes": run.peak_rss_bytes,
        "not_trustworthy": list(run.not_trustworthy),
    }
    runs = min(len(ours.samples), len(run.latency.samples))
    if ours.rule == MEDIAN and runs >= MINIMUM_RUNS:
        interval = median_change_interval(ours.samples, run.latency.samples)
        document["latency_ratio_interval"] = [1 + end for end in interval]
    return document


def _mistake(mistake: Mistake) -> dict[str, Any]:
    found = {"image": mistake.image, "label": mistake.label, "prediction": mistake.prediction}
    return found | ({"file": mistake.file} if mistake.file else {})


def _layers(result: BenchResult) -> list[dict[str, Any]]:
    layers = [_layer(layer) for layer in result.layers]
    for layer, time in zip(layers, result.profile, strict=False):  # no profile: none
        layer |= {"ms": time.ms, "share": time.share, "macs_per_second": time.macs_per_second}
        if time.macs_per_cycle is not None:
            layer["macs_per_cycle"] = time.macs_per_cycle
    return layers


def _layer(layer: LayerReport) -> dict[str, Any]:
    # Each weight is used once at each position of the output.
    positions = max(math.prod(layer.output_shape[:-1]), 1)
    return {
        "name": layer.name,
        "kind": layer.kind,
        "output_shape": list(layer.output_shape),
        "weight_bits": layer.weight_bits,
        "activation_bits": layer.activation_bits,
        "macs": layer.macs,
        "binarized": layer.binarized,
        "weight_bytes": math.ceil(layer.macs // positions * layer.weight_bits / 8),
    }


def json_report(document: Mapping[str, Any]) -> str:
    """The document as text; lists of numbers, such as single runs, on one line each."""
    text = json.dumps(document, indent=2, allow_nan=False)
    lines = re.sub(r"\[\n[-+\d.eE,\s]+\]", lambda match: " ".join(match.group().split()), text)
    return f"{lines}\n"


def check_writable(path: Path, option: str = "--json") -> None:
    """Raise InputError where no file can be written, before anything is measured."""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(
            f"'{path}' cannot be written; {option} needs a file name in a folder that exists"
        )


def write_file(text: str, path: Path) -> None:
    """Write ``text`` to ``path``, complete or not at all. Raises InputError."""
    try:
        with whole_file(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise InputError(f"'{path}' cannot be written: {error.strerror}") from error
