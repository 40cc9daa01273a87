"""The state of a device at one moment: clock, temperature, throttling, load, memory."""

import re
import time
from dataclasses import dataclass
from pathlib import PurePosixPath

from bitat_deploy.device.connection import Connection
from bitat_deploy.errors import RunFailedError

# $1 is the root of the file system. Prints NAME=VALUE lines and then PATH:LINE for every line of
# the files below; what a device lacks is left out. One grep for all of them, since starting a
# process takes a small device milliseconds.
_SCRIPT = r"""
export LC_ALL=C
cd "$1" || exit 1
echo "time=$(date +%s)"
throttled=$(vcgencmd get_throttled 2>/dev/null)
case $throttled in
  throttled=*) echo "$throttled" ;;
  *) echo "throttled=$(cat 'sys/devices/platform/soc/soc:firmware/get_throttled' 2>/dev/null)" ;;
esac
grep -s -e '^cpu ' -e '^MemAvailable:' /dev/null proc/stat proc/meminfo
cpu=sys/devices/system/cpu/cpufreq/policy
zone=sys/class/thermal/thermal_zone
grep -s '' /dev/null proc/loadavg proc/uptime \
  $cpu*/related_cpus $cpu*/scaling_cur_freq $cpu*/scaling_max_freq $cpu*/cpuinfo_m??_freq \
  $cpu*/scaling_governor $cpu*/scaling_driver $cpu*/stats/time_in_state \
  $zone*/type $zone*/temp $zone*/trip_point_*_type $zone*/trip_point_*_temp \
  sys/class/hwmon/hwmon*/name sys/class/hwmon/hwmon*/in0_lcrit_alarm
exit 0
"""

# What /proc and cpufreq count time in: 1/100 s, whatever the kernel's own clock.
_TICK = 0.01

# Bits of the Raspberry Pi's firmware, as `vcgencmd get_throttled` prints them. The same bits
# shifted by 16 say that it has happened since the device was switched on.
THROTTLE_BITS = {
    1 << 0: "under-voltage",
    1 << 1: "clock capped",
    1 << 2: "throttled",
    1 << 3: "soft temperature limit",
}
SINCE_BOOT = 16

_ADJUSTING = ("ondemand", "conservative", "schedutil", "interactive")

# Frequencies are rounded in places: this close to the maximum counts as the maximum.
_NEARLY = 0.98

# From here on a Raspberry Pi's firmware lowers the clock; the kernel has no trip point for it.
_PI_LIMIT = 80.0


@dataclass(frozen=True)
class Clock:
    """The clock that some cores share; frequencies in MHz.

    ``limit`` is the highest that the system allows, ``max`` the hardware's maximum. ``seconds_at``
    holds (MHz, seconds spent there since boot), and is empty if the kernel does not count them.
    """

    cores: tuple[int, ...]
    now: float
    min: float
    max: float
    limit: float
    governor: str
    driver: str
    seconds_at: tuple[tuple[float, float], ...]

    @property
    def adjusts_itself(self) -> bool:
        """Whether the processor chooses its clock without the kernel."""
        in_hardware = self.driver.startswith(("intel_pstate", "amd-pstate", "amd_pstate"))
        return in_hardware and self.governor == "powersave"

    @property
    def adjusts(self) -> bool:
        """Whether the clock follows the load."""
        return self.governor in _ADJUSTING or self.adjusts_itself

    @property
    def held_low(self) -> bool:
        """Whether the governor keeps the clock below the maximum, whatever the load."""
        fixed = self.governor in ("powersave", "userspace") and not self.adjusts_itself
        return fixed and self.now < _NEARLY * self.max

    @property
    def limited(self) -> bool:
        """Whether the system forbids the hardware's maximum."""
        return self.limit < _NEARLY * self.max

    def share_at_limit(self, before: "Clock") -> float | None:
        """The share of the time since ``before`` at full clock; None if it was not counted."""
        earlier = dict(before.seconds_at)
        spent = {mhz: seconds - earlier.get(mhz, 0.0) for mhz, seconds in self.seconds_at}
        total = sum(spent.values())
        if total <= 0:
            return None
        return sum(s for mhz, s in spent.items() if mhz >= _NEARLY * self.limit) / total


@dataclass(frozen=True)
class Health:
    """A device at one moment; None is what it does not report.

    ``clocks`` is empty where the system does not control the clock, as in most virtual machines.
    Temperatures are in degrees Celsius; from ``temperature_limit`` on the device slows down.
    ``throttled`` has the bits of THROTTLE_BITS, ``load`` is the average number of running
    processes over one minute, ``clock_skew`` the seconds by which its clock is ahead of this
    machine's, rounded. ``busy_seconds`` were spent by all cores together since boot,
    ``stolen_seconds`` is time that the host of a virtual machine withheld.
    """

    clocks: tuple[Clock, ...]
    temperature: float | None
    temperature_limit: float | None
    throttled: int | None
    load: float | None
    free_memory_bytes: int | None
    clock_skew: int
    uptime_seconds: float | None
    busy_seconds: float | None
    stolen_seconds: float | None

    @property
    def fastest_clocks(self) -> tuple[Clock, ...]:
        """The clocks of the fastest cores; if cores differ, a run is placed on these."""
        fastest = max((clock.max for clock in self.clocks), default=0.0)
        return tuple(clock for clock in self.clocks if clock.max == fastest)


def read_health(connection: Connection, root: str = "/") -> Health:
    """Read the device's state, in one round trip.

    ``root`` is where its /proc and /sys are. Raises RunFailedError.
    """
    asked = time.time()
    result = connection.run(["sh", "-c", _SCRIPT, "sh", root])
    answered = time.time()
    output = result.stdout.decode(errors="replace")
    if result.exit_code != 0 or not output.startswith("time="):
        raise RunFailedError(
            f"'{connection.name}' does not report its state as a Linux system would: "
            f"{result.last_error}"
        )
    return parse_health(output, (asked + answered) / 2)


def parse_health(output: str, now: float) -> Health:
    """What the script printed; ``now`` is this machine's time when it ran, in seconds."""
    facts, files = _split(output)
    temperature, limit = _temperature(files)
    processor = _numbers(_first(files, "proc/stat").removeprefix("cpu"))
    device_time = _number(facts.get("time", ""))
    return Health(
        clocks=_clocks(files),
        temperature=temperature,
        temperature_limit=limit,
        throttled=_throttled(facts, files),
        load=_number(_first(files, "proc/loadavg")),
        free_memory_bytes=_kilobytes(_first(files, "proc/meminfo")),
        # The device cut off the fraction of its second.
        clock_skew=0 if device_time is None else round(device_time + 0.5 - now),
        uptime_seconds=_number(_first(files, "proc/uptime")),
        # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
        busy_seconds=sum(processor[:3] + processor[5:7]) * _TICK if any(processor) else None,
        stolen_seconds=processor[7] * _TICK if len(processor) > 7 else None,
    )


def throttle_names(bits: int) -> list[str]:
    """Plain words for the low four bits."""
    return [name for bit, name in THROTTLE_BITS.items() if bits & bit]


def _split(output: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    facts: dict[str, str] = {}
    files: dict[str, list[str]] = {}
    for line in output.splitlines():
        path, colon, content = line.partition(":")
        name, _, value = line.partition("=")
        if colon and path.startswith(("proc/", "sys/")):
            files.setdefault(path, []).append(content.strip())
        else:
            facts[name] = value.strip()
    return facts, files


def _throttled(facts: dict[str, str], files: dict[str, list[str]]) -> int | None:
    match = re.fullmatch(r"(?:0x)?([0-9a-fA-F]{1,8})", facts.get("throttled", ""))
    bits = int(match.group(1), 16) if match else None
    for folder in _folders(files, "sys/class/hwmon/"):
        alarm = _first(files, f"{folder}/in0_lcrit_alarm")
        if _first(files, f"{folder}/name") == "rpi_volt" and alarm in ("0", "1"):
            bits = (bits or 0) | int(alarm)
    return bits


def _clocks(files: dict[str, list[str]]) -> tuple[Clock, ...]:
    clocks = []
    for folder in _folders(files, "sys/devices/system/cpu/cpufreq/policy"):

        def megahertz(name: str, folder: str = folder) -> float:
            return (_number(_first(files, f"{folder}/{name}")) or 0) / 1000

        times = [_numbers(line) for line in files.get(f"{folder}/stats/time_in_state", [])]
        maximum = megahertz("cpuinfo_max_freq")
        if not maximum:
            continue
        clocks.append(
            Clock(
                cores=tuple(int(n) for n in _numbers(_first(files, f"{folder}/related_cpus"))),
                now=megahertz("scaling_cur_freq"),
                min=megahertz("cpuinfo_min_freq"),
                max=maximum,
                limit=megahertz("scaling_max_freq") or maximum,
                governor=_first(files, f"{folder}/scaling_governor"),
                driver=_first(files, f"{folder}/scaling_driver"),
                seconds_at=tuple((pair[0] / 1000, pair[1] * _TICK) for pair in times if pair[1:]),
            )
        )
    return tuple(sorted(clocks, key=lambda clock: clock.cores))


def _temperature(files: dict[str, list[str]]) -> tuple[float | None, float | None]:
    """The processor's temperature, and the one from which it slows down."""
    zones = {
        folder: celsius
        for folder in _folders(files, "sys/class/thermal/thermal_zone")
        if (celsius := _celsius(_first(files, f"{folder}/temp"))) is not None
    }
    if not zones:
        return None, None

    def is_processor(folder: str) -> bool:
        kind = _first(files, f"{folder}/type").lower()
        return any(word in kind for word in ("cpu", "x86_pkg", "soc"))

    # The hottest of the processor's, or of all if none is named so.
    folder = max(zones, key=lambda folder: (is_processor(folder), zones[folder]))
    trips = []
    for path in files:
        if path.startswith(f"{folder}/trip_point_") and path.endswith("_type"):
            limit = _celsius(_first(files, path.removesuffix("type") + "temp"))
            if _first(files, path) == "passive" and limit is not None:
                trips.append(limit)
    if not trips and _first(files, f"{folder}/type") == "cpu-thermal":
        trips.append(_PI_LIMIT)
    return zones[folder], min(trips, default=None)


def _celsius(text: str) -> float | None:
    number = _number(text)
    # Unused sensors and trip points report zero, or less than absolute zero.
    return number / 1000 if number is not None and 1000 <= number <= 150_000 else None


def _kilobytes(line: str) -> int | None:
    number = _number(line.partition(":")[2])
    return None if number is None else int(number) * 1024


def _folders(files: dict[str, list[str]], prefix: str) -> list[str]:
    depth = len(PurePosixPath(f"{prefix}x").parts)
    found = (PurePosixPath(*PurePosixPath(p).parts[:depth]) for p in files if p.startswith(prefix))
    return sorted({str(folder) for folder in found})


def _first(files: dict[str, list[str]], path: str) -> str:
    return files.get(path, [""])[0]


def _number(text: str) -> float | None:
    numbers = _numbers(text)
    return numbers[0] if numbers else None


def _numbers(text: str) -> list[float]:
    """The numbers at the start of ``text``."""
    numbers = []
    for word in text.split():
        if not re.fullmatch(r"-?\d{1,18}(\.\d{1,9})?", word):
            break
        numbers.append(float(word))
    return numbers
