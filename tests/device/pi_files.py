"""The files under /proc and /sys of a Raspberry Pi 4, as far as its health is read from them."""

from pathlib import Path

POLICY = "sys/devices/system/cpu/cpufreq/policy0"
ZONE = "sys/class/thermal/thermal_zone0"
GET_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"

FILES = {
    "proc/loadavg": "0.12 0.08 0.05 2/167 1234",
    "proc/uptime": "3600.50 14000.00",
    # 1000 + 500 + 10 ticks of work, 7 of a virtual machine's host; the core's line is not counted.
    "proc/stat": "cpu  1000 0 500 90000 20 0 10 7 0 0\ncpu0 1 2 3 4 5 6 7 8 9 9\nintr 5 6 7",
    "proc/meminfo": "MemTotal: 3884372 kB\nMemFree: 100 kB\nMemAvailable:  2000000 kB",
    f"{POLICY}/related_cpus": "0 1 2 3",
    f"{POLICY}/scaling_cur_freq": "600000",
    f"{POLICY}/scaling_max_freq": "1500000",
    f"{POLICY}/cpuinfo_min_freq": "600000",
    f"{POLICY}/cpuinfo_max_freq": "1500000",
    f"{POLICY}/scaling_governor": "ondemand",
    f"{POLICY}/scaling_driver": "cpufreq-dt",
    f"{POLICY}/stats/time_in_state": "600000 300000\n1500000 60000",
    f"{ZONE}/type": "cpu-thermal",
    f"{ZONE}/temp": "48686",
    f"{ZONE}/trip_point_0_type": "critical",
    f"{ZONE}/trip_point_0_temp": "110000",
}


def write_files(root: Path, files: dict[str, str]) -> Path:
    """Write ``files`` below ``root`` and return it."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content + "\n")
    return root
