"""What a device may answer that no sound one does, by the command that is answered."""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from bitat_deploy.device.answer import Answer
from bitat_deploy.device.connection import USUAL, Limit, LineSink, Result
from bitat_deploy.device.local import LocalConnection
from tests.fuzz.mutations import mutate_bytes, mutate_json
from tests.hostile_device import NASTY

# By name: what the command for it contains, and nothing else does.
COMMANDS = {
    "inspect": "say machine",
    "health": "get_throttled",
    "present": "find objects -type f",
    "receive": ".incoming-$2",
    "link": 'mkdir "$2"',
    "run": "--stop-at-end-of-input",
    "fetch": "/logits",
    "clean": "rmdir",
    "write": 'cat > "$1"',
    "measure": "--lock",
    "remove": "-rf",
}

Change = Callable[[bytes], Iterable[bytes]]


@dataclass(frozen=True)
class Lie:
    """An answer to ``command``: ``change`` makes the pieces of output from the sound output."""

    command: str
    name: str
    change: Change
    errors: bytes = b""
    exit_code: int = 0


def kind_of(command: Sequence[str]) -> str:
    """The key of COMMANDS for a command."""
    text = " ".join(command)
    return next((kind for kind, mark in COMMANDS.items() if mark in text), "other")


class Recorded(LocalConnection):
    """This machine; keeps the last result of each kind of command."""

    def __init__(self) -> None:
        super().__init__()
        self.results: dict[str, Result] = {}

    def run(self, command: Sequence[str], **options: object) -> Result:
        result = super().run(command, **options)  # type: ignore[arg-type]
        self.results[kind_of(command)] = result
        return result


class LyingDevice(LocalConnection):
    """Answers what was recorded, and once in a way that is none: no program runs."""

    name = "pi@device"
    taken = 0  # bytes of the lie that were read

    def __init__(self, results: dict[str, Result], lie: Lie) -> None:
        super().__init__()
        self._results, self._lie = results, lie

    def run(
        self,
        command: Sequence[str],
        *,
        stdin: Path | None = None,
        on_error: LineSink | None = None,
        limit: Limit = USUAL,
    ) -> Result:
        kind = kind_of(command)
        sound = self._results.get(kind, Result(0, b"", ""))
        if kind != self._lie.command:
            return sound
        answer = Answer(self.name, limit, on_error)
        answer.take_errors(self._lie.errors)
        for piece in self._lie.change(sound.stdout):
            self.taken += len(piece)
            answer.take_output(piece)
        return Result(self._lie.exit_code, *answer.finish())


def _instead(content: bytes) -> Change:
    return lambda sound: [content]


def _after(content: bytes) -> Change:
    return lambda sound: [sound, content]


def _endless(sound: bytes) -> Iterator[bytes]:
    return repeat(b"z" * 65536)


def _document(**changes: object) -> Change:
    return lambda sound: [json.dumps(json.loads(sound or b"{}") | changes).encode()]


def _without(key: str) -> Change:
    def change(sound: bytes) -> list[bytes]:
        return [json.dumps({k: v for k, v in json.loads(sound).items() if k != key}).encode()]

    return change


_NASTY = NASTY.encode()
_LONG = b"9" * 5000
_ANY: dict[str, Change] = {
    "nothing": _instead(b""),
    "zero bytes": _instead(b"\0" * 5000),
    "newlines": _instead(b"\n" * 5000),
    "no UTF-8": lambda sound: [sound.replace(b"=", b"=\xff\xc0").replace(b'"', b"\xed\xa0\x80")],
    "control characters": _instead(_NASTY),
    "control characters after it": _after(b"\n" + _NASTY),
    "half of it": lambda sound: [sound[: len(sound) // 2]],
    "twice": lambda sound: [sound, sound],
    "without end": _endless,
}

_FACTS = {
    "machine": [b"", _NASTY, b"aarch64", b"x" * 100_000, b"armv6l"],
    "cache": [b"", b"relative", b"/" + _NASTY, b"/x" * 50_000, b"/a\x1b[2J", b"/home/../../etc"],
    "online": [b",0-9999" * 5000, _LONG],
    "allowed": [b"9-1,-,0-0-0", b"0-" + _LONG],
    "memory": [b"-5", _LONG, b"1e400", b"nan"],
    "free": [b"0", b"-1", _LONG, "\u0665".encode()],
    "glibc": [b"glibc " + _LONG, "glibc 2.\u00b2".encode(), b"glibc 2.-1", b"musl"],
    "bits": [b"32", b"64" * 500],
    "features": [_NASTY * 50],
    "write_refusal": [_NASTY, b": "],
    "execute_refusal": [_NASTY],
    "other": [_NASTY],
    "board": [_NASTY, b"[/red]" * 1000],
    "governor": [_NASTY],
}

_HEALTH = (
    b"time=" + _LONG,
    b"time=nan\nthrottled=0xZZ",
    b"throttled=" + b"f" * 5000,
    b"proc/stat:cpu " + b"9" * 18 + b" x",
    b"proc/stat:cpu -5 -5 -5 -5 -5 -5 -5 -5",
    b"proc/meminfo:MemAvailable: -1 kB",
    b"proc/loadavg:inf nan",
    b"proc/uptime:-1e999",
    b"sys/class/thermal/thermal_zone0/temp:" + _LONG,
    b"sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq:1\n"
    b"sys/devices/system/cpu/cpufreq/policy0/related_cpus:" + _NASTY,
    b"sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq:-1500000\n"
    b"sys/devices/system/cpu/cpufreq/policy0/stats/time_in_state:-1 -1",
    b"\n".join(
        b"sys/devices/system/cpu/cpufreq/policy%d/cpuinfo_max_freq:1500000" % n for n in range(3000)
    ),
    b"sys/devices/system/cpu/cpufreq/policy/../../../x:1",
)

_RESULTS: dict[str, list[object]] = {
    "durations_ns": [None, [], [-5] * 5, [10**30] * 5, ["1"] * 5, [True] * 5, [1.5] * 5, "1" * 5],
    "load_ns": [None, -1, 10**40, float("nan"), float("inf"), "1", [], NASTY],
    "first_inference_ns": [-5],
    "threads": [0, 2, True],
    "images": [0, -1, 10**9],
    "classes": [0, 1, 1 << 30],
    "warmup": [10**6],
    "peak_rss_bytes": [-1, 10**30],
    "cpu_ns": [-1, "x"],
}

_CANDIDATES: list[object] = [
    None,
    [],
    [{"outcome": "ok", "min_ns": [5.0, 5.0]}] * 7,
    [{"outcome": "ok", "min_ns": [-1.0] * 3}] * 2,
    [{"outcome": "ok", "min_ns": [0.0] * 3}] * 2,
    [{"outcome": "ok", "min_ns": [float("nan")] * 3}] * 2,
    [{"outcome": "ok", "min_ns": [float("inf")] * 3}] * 2,
    [{"outcome": "ok", "min_ns": ["5"] * 3}] * 2,
    [{"outcome": "ok", "min_ns": {}}] * 2,
    [{"outcome": NASTY, "min_ns": [5.0] * 3}] * 2,
    [{"outcome": "crashed", "message": NASTY}] * 2,
    [{"outcome": ["ok"]}] * 2,
    [[[]]] * 2,
]


def lies() -> list[Lie]:
    """Each once; names are unique."""
    table = [
        Lie(command, f"{command}: {name}", change)
        for command in COMMANDS
        for name, change in _ANY.items()
    ]
    table += [
        Lie(command, f"{command}: exit code {code}", _instead(b""), b"a\n" + _NASTY + b"\n", code)
        for command in COMMANDS
        for code in (1, 20, 254)
    ]
    table += [
        Lie(command, f"{command}: {words!r}", _instead(b""), words, 1)
        for command in ("present", "receive", "link", "run", "write", "measure")
        for words in (b"x: No space left on device", b"Disk quota exceeded" + _NASTY, b"\n\n\n")
    ]
    table += [
        Lie(
            "inspect", f"inspect: {key} {value[:20]!r}", _after(b"\n" + key.encode() + b"=" + value)
        )
        for key, values in _FACTS.items()
        for value in values
    ]
    table += [
        # The first line of a file counts.
        Lie("health", f"health: {text[:70]!r}", lambda sound, text=text: [b"time=1\n", text, sound])
        for text in _HEALTH
    ]
    table += [
        Lie("run", f"run: {key} {str(value)[:20]!r}", _document(**{key: value}))
        for key, values in _RESULTS.items()
        for value in values
    ]
    table += [Lie("run", f"run: no {key}", _without(key)) for key in _RESULTS]
    table += [
        Lie("measure", f"measure: {str(value)[:60]!r}", _document(candidates=value))
        for value in _CANDIDATES
    ]
    table += [
        Lie(command, f"{command}: {name}", _instead(content))
        for command in ("run", "measure")
        for name, content in {
            "null": b"null",
            "lists in lists": b"[" * 200_000,
            "a number without end": b'{"load_ns": ' + _LONG + b"}",
            "UTF-16": '{"load_ns": 1}'.encode("utf-16"),
            "a key twice": b'{"candidates": 1, "candidates": 2}',
        }.items()
    ]
    table += [
        Lie("run", f"run: signal {code}", _instead(b""), _NASTY, code)
        for code in (2, 3, 5, 6, 126, 127, 132, 137, 139, 192, 255)
    ]
    table += [
        Lie("run", "run: odd progress", _after(b""), b"progress runs " + _LONG + b" 1\n" + _NASTY),
        Lie("run", "run: errors without end", _instead(b""), b"z" * (5 << 20)),
        Lie("fetch", "fetch: NaN", lambda sound: [b"\xff" * len(sound)]),
        Lie("fetch", "fetch: infinite", lambda sound: [b"\0\0\x80\x7f" * (len(sound) // 4)]),
        Lie("fetch", "fetch: a byte less", lambda sound: [sound[:-1]]),
        Lie("fetch", "fetch: a byte more", _after(b"x")),
        Lie("clean", "clean: negative", _instead(b"-5\n")),
        Lie("clean", "clean: 5,000 digits", _instead(_LONG + b"\n")),
    ]
    return table


def drawn_lie(source: random.Random, results: dict[str, Result]) -> Lie:
    """A sound answer, changed at random."""
    command = source.choice(sorted(results.keys() & COMMANDS.keys()))
    mutate = mutate_json if command in ("run", "measure") else mutate_bytes

    def change(sound: bytes) -> list[bytes]:
        for _ in range(source.randint(1, 3)):
            sound = mutate(sound, source)
        return [sound]

    errors = source.choice((b"", mutate_bytes(b"progress latency 5 50\n", source)))
    return Lie(command, "drawn", change, errors, source.choice((0, 0, 0, source.randrange(256))))
