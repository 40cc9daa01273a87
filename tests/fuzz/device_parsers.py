"""The readers of what a device answers, and of files that the host keeps: see ``parsers.py``."""

import hashlib
import io
import json
import pickle
from pathlib import Path

import numpy as np

from bitat_deploy.datasets.cifar_python import python_images
from bitat_deploy.device import BenchOptions, Result, diagnose, examine, inspect_device
from bitat_deploy.device.bench_result import latency_statistics
from bitat_deploy.device.condition import reasons_for_distrust
from bitat_deploy.device.health import Health, parse_health
from bitat_deploy.device.reference import read_record, write_record
from bitat_deploy.device.run_result import parse_run_result
from bitat_deploy.errors import InputError
from bitat_deploy.plain_text import foreign_text
from bitat_deploy.target import load_target
from bitat_deploy.tuning.measurement import parse_batch
from tests.device.pi_files import FILES
from tests.device.sound_pi import DEVICE, HEALTH, LATENCY
from tests.hostile_answers import Lie, LyingDevice

_OPTIONS = BenchOptions(warmup=2, min_runs=3, min_seconds=0, profile_runs=5)
_RPI4 = load_target("rpi4")
_LOGITS = np.arange(70, dtype=np.float32).reshape(7, 10)


def target_seeds() -> list[bytes]:
    """Each of ours, under another name."""
    return [
        (Path(__file__).parents[2] / "targets" / f"{name}.yaml").read_bytes()
        for name in ("rpi4", "rpi-32bit", "x86-64-avx512")
    ]


def read_target(content: bytes, folder: Path) -> None:
    """That a target has values which a build can work with."""
    (folder / "board.yaml").write_bytes(content)
    target = load_target(str(folder / "board.yaml"))
    assert foreign_text(target.name) == target.name and Path(target.name).name == target.name
    assert foreign_text(target.description) or not target.description.strip()
    assert target.cores > 0 and target.vector_bytes > 0 and target.counting_bound >= 0
    diagnose(DEVICE, HEALTH, [target])


def runner_seeds() -> list[bytes]:
    """What the runner prints."""
    document = {
        "schema_version": 1,
        "load_ns": 5_000_000,
        "first_inference_ns": 900_000,
        "warmup": 2,
        "threads": 1,
        "images": 7,
        "classes": 10,
        "peak_rss_bytes": 4096,
        "cpu_ns": 6_000_000,
        "durations_ns": [800_000, 700_000, 750_000],
        "layers_ns": [{"name": "layer0_stem", "ns": 500_000}],
    }
    return [json.dumps(document).encode()]


def read_runner(content: bytes, folder: Path) -> None:
    """That statistics can be made of the times."""
    run = parse_run_result(content, "pi", _OPTIONS, 7, 10)
    latency = latency_statistics(run.durations_ns, run.warmup, _OPTIONS.rule)
    assert 0 <= latency.min <= latency.p50 <= latency.max < float("inf") and latency.max > 0
    assert (run.images, run.classes, run.threads, run.warmup) == (7, 10, 1, 2)
    assert min(run.load_ns, run.first_inference_ns, run.peak_rss_bytes) >= 0


def measurement_seeds() -> list[bytes]:
    """What the program that measures candidates prints."""
    times = [{"outcome": "ok", "min_ns": [5.0, 6.5, 5.5]}, {"outcome": "ok", "min_ns": [4.0, 4.5]}]
    failed = {"outcome": "crashed", "message": "signal 11"}
    return [json.dumps({"candidates": [*times, failed]}).encode()]


def read_measurements(content: bytes, folder: Path) -> None:
    """That times are times."""
    batch = parse_batch(content, "pi", 2, 2)
    assert 0 < batch.reference_ns < float("inf") and 0 <= batch.noise < float("inf")
    for candidate in batch.candidates:
        assert 0 <= candidate.time < float("inf")
        assert foreign_text(candidate.message) == candidate.message


def facts_seeds() -> list[bytes]:
    """What a device says of itself."""
    facts = {
        "machine": "aarch64", "kernel": "Linux 6.12.34+rpt-rpi-v8", "bits": "64",
        "glibc": "glibc 2.36", "os": "Debian GNU/Linux 12 (bookworm)",
        "board": "Raspberry Pi 4 Model B Rev 1.5", "compatible": "raspberrypi,4-model-b",
        "features": "fp asimd evtstrm crc32 cpuid", "implementer": "0x41", "part": "0xd08",
        "memory": "3884372 kB", "allowed": "0-3", "online": ",0,1,2,3", "governor": "ondemand",
        "virtualization": "none", "other": "/var/tmp", "write_refusal": "", "execute_refusal": "",
        "cache": "/home/pi/.cache", "free": "20000000",
    }  # fmt: skip
    return ["".join(f"{key}={value}\n" for key, value in facts.items()).encode()]


def read_facts(content: bytes, folder: Path) -> None:
    """That numbers are in range, and what is shown is safe to show."""
    answers = {"inspect": Result(0, content, "")}
    device = inspect_device(LyingDevice(answers, Lie("none", "", lambda sound: [sound])))
    assert 1 <= device.cores <= 10_000
    assert 0 <= device.memory_bytes < 1 << 60 and 0 <= device.free_disk_bytes < 1 << 60
    assert device.cache.startswith("/") and device.cache.isprintable()
    for finding in diagnose(device, HEALTH, [_RPI4]):
        assert finding.message.isprintable() and len(finding.message) < 5000
        assert finding.remedy.isprintable() and len(finding.remedy) < 1000


def health_seeds() -> list[bytes]:
    """What a device says of its state."""
    lines = [f"{path}:{line}" for path, text in FILES.items() for line in text.splitlines()]
    return ["\n".join(["time=1700000000", "throttled=0x50000", *lines]).encode()]


def read_health(content: bytes, folder: Path) -> None:
    """That each state can be judged, and compared with a sound one."""
    health: Health = parse_health(content.decode(errors="replace"), 1_700_000_000.0)
    findings = [finding.message for finding in examine(health)]
    findings += reasons_for_distrust(DEVICE, HEALTH, health, LATENCY, 1.0)
    findings += reasons_for_distrust(DEVICE, health, health, LATENCY, None)
    assert all(foreign_text(text, 1000) for text in findings)


def reference_seeds() -> list[bytes]:
    """A cached reference."""
    return [_record(_LOGITS)]


def _record(logits: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, logits)
    return hashlib.sha256(file.getvalue()).digest() + file.getvalue()


def read_reference(content: bytes, folder: Path) -> None:
    """That a damaged one is not used."""
    (folder / "record").write_bytes(content)
    logits = read_record(folder / "record")
    if logits is None:
        raise InputError("damaged")
    assert np.array_equal(logits, _LOGITS)
    write_record(folder / "record", logits)
    assert (folder / "record").read_bytes() == content


def cifar_seeds() -> list[bytes]:
    """Batches as Python 2 and Python 3 write them."""
    data = np.random.default_rng(0).integers(0, 256, (2, 3072), np.uint8)
    document = {b"data": data, b"labels": [3, 9], b"filenames": [b"a.png", b"b.png"]}
    return [pickle.dumps(document, protocol=protocol) for protocol in (0, 2, 4)]


def read_cifar(content: bytes, folder: Path) -> None:
    """That there is a label for each image."""
    images, labels = python_images(content, "'data_batch_1'", "labels")
    assert images.dtype == np.uint8 and images.shape == (len(labels), 3, 32, 32)
    assert labels.dtype == np.int64
