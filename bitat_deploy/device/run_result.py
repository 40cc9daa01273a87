"""What a runner printed on a device, checked before anything is made of it."""

import json
from dataclasses import dataclass
from typing import Any

from bitat_deploy.device.bench_options import BenchOptions
from bitat_deploy.device.runner_failure import OTHER_VERSION
from bitat_deploy.errors import BundleError, RunFailedError

_LONGEST_NS = 86_400 * 10**9  # no call takes a day
_MOST_BYTES = 1 << 50
_MOST_CLASSES = 1 << 20

_TIMES = ("load_ns", "first_inference_ns")

# A run may end before min_runs where max_seconds are over. The runs themselves then took at least
# this part of them; the rest is what is between the runs.
_BUSY = 0.5


@dataclass(frozen=True)
class RunResult:
    """The measurements of one run; ``*_ns`` are nanoseconds.

    ``durations_ns`` are of the measured calls, in order, ``cpu_ns`` is the processor time of the
    whole program, None where the runner is too old to tell. ``layers_ns`` has ``name`` and ``ns``
    of each layer, where a profile was asked for. The logits that it wrote are
    [images, classes] float32.
    """

    load_ns: int
    first_inference_ns: int
    warmup: int
    threads: int
    images: int
    classes: int
    peak_rss_bytes: int
    durations_ns: tuple[int, ...]
    cpu_ns: int | None = None
    layers_ns: tuple[dict[str, Any], ...] = ()


def parse_run_result(
    content: bytes, device: str, options: BenchOptions, images: int, classes: int | None
) -> RunResult:
    """Read what the runner on ``device`` printed after a run by ``options`` over ``images`` images.

    ``classes`` is None where it is not known. Raises RunFailedError where that is no result, a
    value is impossible or is not what was asked for; BundleError where a value is missing, as in
    what older runners print.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RunFailedError(f"the runner on '{device}' printed no result") from error
    if not isinstance(document, dict):
        raise RunFailedError(f"the runner on '{device}' printed no result")
    profile = {"layers_ns"} if options.profile_runs else set()
    needed = {"durations_ns", "warmup", "threads", "images", "classes", "peak_rss_bytes", *_TIMES}
    absent = (needed | profile) - set(document)
    if absent:
        raise BundleError(f"the bundle's runner does not tell '{min(absent)}'; {OTHER_VERSION}")
    wrong = next(
        (key for key, sound in _checks(document, options, images, classes) if not sound), None
    )
    if wrong is not None:
        raise RunFailedError(
            f"the runner on '{device}' gives an impossible value for '{wrong}', so its result is "
            "not used; check the device, and build the bundle again"
        )
    return RunResult(
        **{key: document[key] for key in needed - {"durations_ns"}},
        durations_ns=tuple(document["durations_ns"]),
        cpu_ns=document.get("cpu_ns"),
        layers_ns=tuple(document["layers_ns"]) if options.profile_runs else (),
    )


def _checks(
    document: dict[str, Any], options: BenchOptions, images: int, classes: int | None
) -> list[tuple[str, bool]]:
    """Each key with whether its value is sound."""
    checks = [(key, _is_whole(document[key], 0, _LONGEST_NS)) for key in _TIMES]
    checks += [
        ("warmup", _is_whole(document["warmup"], options.warmup, options.warmup)),
        ("threads", _is_whole(document["threads"], options.threads, options.threads)),
        ("images", _is_whole(document["images"], images, images)),
        ("classes", _is_whole(document["classes"], classes or 1, classes or _MOST_CLASSES)),
        ("peak_rss_bytes", _is_whole(document["peak_rss_bytes"], 0, _MOST_BYTES)),
        # Of all threads together.
        ("cpu_ns", _is_whole(document.get("cpu_ns", 0), 0, _LONGEST_NS * options.threads)),
        ("durations_ns", _are_durations(document["durations_ns"], options)),
    ]
    if options.profile_runs:
        checks.append(("layers_ns", _are_layers(document["layers_ns"])))
    return checks


def _is_whole(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _are_durations(values: Any, options: BenchOptions) -> bool:
    if not isinstance(values, list) or not 1 <= len(values) <= options.max_runs:
        return False
    # Not by a call for each: there may be millions.
    if set(map(type, values)) != {int} or min(values) < 0 or max(values) > _LONGEST_NS:
        return False
    total = sum(values)
    enough = len(values) >= options.min_runs or total >= _BUSY * options.max_seconds * 1e9
    return total > 0 and enough


def _are_layers(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and _is_whole(entry.get("ns"), 0, _LONGEST_NS)
        for entry in values
    )
