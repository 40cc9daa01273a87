import time
from dataclasses import replace
from pathlib import Path

import pytest

from bitat_deploy.device import connect
from bitat_deploy.device.health import (
    Clock,
    Health,
    parse_health,
    read_health,
    throttle_names,
)
from bitat_deploy.errors import RunFailedError
from tests.device.pi_files import FILES, GET_THROTTLED, POLICY, ZONE, write_files
from tests.ssh_devices import LocalSshd


def health_of(root: Path, files: dict[str, str]) -> Health:
    with connect("local") as connection:
        health = read_health(connection, str(write_files(root, files)))
    assert abs(health.clock_skew) <= 1  # when this machine is busy
    return replace(health, clock_skew=0)


def test_raspberry_pi(tmp_path: Path) -> None:
    health = health_of(tmp_path, FILES | {GET_THROTTLED: "50005"})
    assert health == Health(
        clocks=(
            Clock(
                cores=(0, 1, 2, 3),
                now=600,
                min=600,
                max=1500,
                limit=1500,
                governor="ondemand",
                driver="cpufreq-dt",
                seconds_at=((600, 3000), (1500, 600)),
            ),
        ),
        temperature=48.686,
        temperature_limit=80,
        throttled=0x50005,
        load=0.12,
        free_memory_bytes=2_000_000 * 1024,
        clock_skew=0,
        uptime_seconds=3600.5,
        busy_seconds=15.1,
        stolen_seconds=0.07,
    )


def test_nothing_is_told(tmp_path: Path) -> None:
    health = health_of(tmp_path, {})
    assert health == Health((), None, None, None, None, None, 0, None, None, None)
    assert health.fastest_clocks == ()


def test_this_machine() -> None:
    with connect("local") as connection:
        health = read_health(connection)
    assert health.uptime_seconds is not None and health.load is not None
    assert abs(health.clock_skew) <= 1


def test_vcgencmd_over_ssh(local_sshd: LocalSshd) -> None:
    vcgencmd = local_sshd.programs / "vcgencmd"
    vcgencmd.write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x50005\n')
    vcgencmd.chmod(0o755)
    try:
        with connect(local_sshd.host, local_sshd.ssh_config) as connection:
            health = read_health(connection)
    finally:
        vcgencmd.unlink()
    assert health.throttled == 0x50005


def test_vcgencmd_without_permission(local_sshd: LocalSshd, tmp_path: Path) -> None:
    vcgencmd = local_sshd.programs / "vcgencmd"
    vcgencmd.write_text("#!/bin/sh\necho VCHI initialization failed\nexit 255\n")
    vcgencmd.chmod(0o755)
    root = write_files(tmp_path, FILES | {GET_THROTTLED: "0"})
    try:
        with connect(local_sshd.host, local_sshd.ssh_config) as connection:
            health = read_health(connection, str(root))
    finally:
        vcgencmd.unlink()
    assert health.throttled == 0


@pytest.mark.parametrize(("alarm", "bits"), [("0", 0), ("1", 1)])
def test_voltage_sensor_alone(tmp_path: Path, alarm: str, bits: int) -> None:
    hwmon = "sys/class/hwmon/hwmon"
    files = {f"{hwmon}0/name": "cpu_thermal", f"{hwmon}1/name": "rpi_volt"}
    health = health_of(tmp_path, files | {f"{hwmon}1/in0_lcrit_alarm": alarm})
    assert health.throttled == bits


def test_fastest_of_several_clocks(tmp_path: Path) -> None:
    files = {name.replace("policy0", "policy4"): text for name, text in FILES.items()}
    files[f"{POLICY.replace('policy0', 'policy4')}/related_cpus"] = "4 5"
    files[f"{POLICY.replace('policy0', 'policy4')}/cpuinfo_max_freq"] = "2400000"
    health = health_of(tmp_path, FILES | files)
    assert [clock.cores for clock in health.clocks] == [(0, 1, 2, 3), (4, 5)]
    assert [clock.cores for clock in health.fastest_clocks] == [(4, 5)]


def test_processor_zone_and_its_passive_trip_count(tmp_path: Path) -> None:
    other, trip = ZONE.replace("zone0", "zone1"), f"{ZONE}/trip_point_1"
    files = {f"{other}/type": "wifi", f"{other}/temp": "91000"}
    files |= {f"{trip}_type": "passive", f"{trip}_temp": "75000"}
    health = health_of(tmp_path, FILES | files)
    assert (health.temperature, health.temperature_limit) == (48.686, 75)


def test_share_of_the_time_at_full_clock(tmp_path: Path) -> None:
    before = health_of(tmp_path, FILES).clocks[0]
    files = FILES | {f"{POLICY}/stats/time_in_state": "600000 300025\n1500000 60075"}
    after = health_of(tmp_path, files).clocks[0]
    assert after.share_at_limit(before) == pytest.approx(0.75)
    assert before.share_at_limit(before) is None


def test_clock_skew() -> None:
    now = time.time()
    assert parse_health(f"time={int(now) - 3600}\n", now).clock_skew == -3600


def test_garbage_is_what_is_not_told() -> None:
    output = "time=x\nthrottled=0xzz\nproc/loadavg:\nproc/uptime:-\nproc/stat:cpu a b\n:::\n=\n"
    health = parse_health(f"{output}{POLICY}/cpuinfo_max_freq:nan\n{ZONE}/temp:inf\n", 0)
    assert health == Health((), None, None, None, None, None, 0, None, None, None)


def test_no_linux(local_sshd: LocalSshd) -> None:
    with (
        connect(local_sshd.host, local_sshd.ssh_config) as connection,
        pytest.raises(RunFailedError, match="does not report its state"),
    ):
        read_health(connection, "/there/is/no/such/folder")


def test_throttle_names() -> None:
    assert throttle_names(0x5) == ["under-voltage", "throttled"]
    assert throttle_names(0x50000) == []
