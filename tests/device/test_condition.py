from dataclasses import replace
from typing import Any

import pytest

from bitat_deploy.device.condition import Finding, Severity, examine, reasons_for_distrust
from bitat_deploy.device.health import Health
from tests.device.sound_pi import DEVICE, HEALTH, LATENCY, health, health_after_run

RUNNER_SECONDS = 9.9


def the_one(state: Health) -> Finding:
    """What is wrong with a state."""
    (finding,) = [finding for finding in examine(state) if finding.severity is not Severity.OK]
    assert finding.remedy
    return finding


def test_sound_pi() -> None:
    assert {finding.severity for finding in examine(HEALTH)} == {Severity.OK}


def test_nothing_is_reported() -> None:
    unknown = Health((), None, None, None, None, None, 0, None, None, None)
    assert {finding.severity for finding in examine(unknown)} == {Severity.OK}


@pytest.mark.parametrize(
    ("changes", "severity", "subject", "words"),
    [
        ({"throttled": 0x50005}, Severity.WORTHLESS, "power", "under-voltage, throttled now"),
        ({"throttled": 0x50000}, Severity.WARNING, "power", "under-voltage, throttled since"),
        ({"temperature": 65}, Severity.WARNING, "temperature", "65 °C and slows down from 80 °C"),
        ({"temperature": 74}, Severity.WARNING, "temperature", "slows down from 80 °C"),
        ({"temperature": 75}, Severity.WORTHLESS, "temperature", "slows down from 80 °C"),
        ({"limit": 1000}, Severity.WORTHLESS, "clock", "is limited to 1000 of 1500 MHz"),
        ({"governor": "powersave"}, Severity.WORTHLESS, "clock", "keeps the clock at 600 MHz"),
        ({"governor": "userspace"}, Severity.WORTHLESS, "clock", "keeps the clock at 600 MHz"),
        ({"seconds_at": ()}, Severity.WARNING, "clock", "'ondemand' may change the clock"),
        ({"load": 1.5}, Severity.WARNING, "load", "1.50 running processes"),
        ({"free_memory_bytes": 30_000_000}, Severity.WARNING, "memory", "30 MB"),
        ({"clock_skew": -7200}, Severity.WARNING, "time", "2 hours behind"),
        ({"clock_skew": 90}, Severity.WARNING, "time", "90 seconds ahead of"),
    ],
)
def test_state(changes: dict[str, Any], severity: Severity, subject: str, words: str) -> None:
    finding = the_one(health(**changes))
    assert (finding.severity, finding.subject) == (severity, subject)
    assert words in finding.message


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": 64.9},
        {"governor": "userspace", "now": 1500},
        {"governor": "powersave", "driver": "intel_pstate", "seconds_at": ()},
        {"load": 0.5},
        {"clock_skew": 60},
    ],
)
def test_state_that_is_fine(changes: dict[str, Any]) -> None:
    assert {finding.severity for finding in examine(health(**changes))} == {Severity.OK}


def test_earlier_throttling_says_nothing_of_a_run() -> None:
    message = the_one(health(throttled=0x10000)).message
    assert message == "under-voltage since the device was switched on"


def test_one_of_several_clocks_without_a_limit_is_enough() -> None:
    clock = replace(health(limit=1000).clocks[0], cores=(4,))
    both = replace(HEALTH, clocks=(*HEALTH.clocks, clock))
    assert {finding.severity for finding in examine(both)} == {Severity.OK}


def test_remedy_fits_the_cause() -> None:
    under_voltage = the_one(health(throttled=0x1))
    assert "power supply" in under_voltage.remedy and "cool" not in under_voltage.remedy
    hot = the_one(health(throttled=0x8))
    assert "power supply" not in hot.remedy and "cool" in hot.remedy


def test_the_same_state_reads_the_same_before_and_after_a_run() -> None:
    for changes in ({"temperature": 76}, {"limit": 1000}):
        assert the_one(health(**changes)).message in reasons(changes, changes)


def reasons(before: dict[str, Any], after: dict[str, Any]) -> str:
    return "; ".join(
        reasons_for_distrust(
            DEVICE, health(**before), health_after_run(**after), LATENCY, RUNNER_SECONDS
        )
    )


def test_nothing_against_it() -> None:
    assert reasons({}, {}) == ""


def test_nothing_known_against_it() -> None:
    unknown = replace(
        HEALTH, clocks=(), temperature=None, throttled=None, uptime_seconds=None, busy_seconds=None
    )
    assert reasons_for_distrust(DEVICE, unknown, unknown, LATENCY, None) == ()


def test_emulated() -> None:
    (reason,) = reasons_for_distrust(
        replace(DEVICE, emulated=True), HEALTH, health_after_run(), LATENCY, RUNNER_SECONDS
    )
    assert "emulated" in reason


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (0, 0x50005, "under-voltage, throttled during the run"),
        (0, 0x50000, "under-voltage, throttled during the run"),
        (0x1, 0, "under-voltage during the run"),
        (0x50000, 0x50000, "under-voltage, throttled since the device was switched on, perhaps"),
        (0x10000, 0x90008, "soft temperature limit during the run; under-voltage since"),
    ],
)
def test_throttled(before: int, after: int, expected: str) -> None:
    assert reasons({"throttled": before}, {"throttled": after}).startswith(expected)


def test_clock_below_its_maximum() -> None:
    after = {"seconds_at": ((600, 3004), (1500, 606))}
    assert "below its maximum for 40% of the time" in reasons({}, after)


def test_clock_limited() -> None:
    after = {"limit": 1000, "seconds_at": ((600, 3000), (1000, 10), (1500, 600))}
    assert reasons({"limit": 1000}, after) == "the clock is limited to 1000 of 1500 MHz"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"governor": "ondemand"}, "the governor 'ondemand' may change the clock"),
        ({"governor": "powersave"}, "the governor 'powersave' keeps the clock at 600 MHz"),
        ({"governor": "powersave", "driver": "intel_pstate"}, ""),
        ({"governor": "performance", "now": 1500}, "the clock changed from 600 to 1500 MHz"),
        ({"governor": "performance"}, ""),
    ],
)
def test_clock_that_is_not_recorded(changes: dict[str, Any], expected: str) -> None:
    found = reasons({"seconds_at": ()}, {"seconds_at": (), **changes})
    assert found.startswith(expected) and bool(found) == bool(expected)


def test_one_of_several_clocks_at_its_maximum_is_enough() -> None:
    idle = replace(health().clocks[0], cores=(4,))
    before = replace(HEALTH, clocks=(*HEALTH.clocks, idle))
    idle_after = replace(idle, seconds_at=((600, 3010), (1500, 600)))
    after = health_after_run()
    after = replace(after, clocks=(*after.clocks, idle_after))
    assert reasons_for_distrust(DEVICE, before, after, LATENCY, RUNNER_SECONDS) == ()


@pytest.mark.parametrize(("temperature", "hot"), [(74, False), (75, True)])
def test_temperature(temperature: float, hot: bool) -> None:
    assert ("slows down from 80 °C" in reasons({}, {"temperature": temperature})) is hot


def test_other_processes() -> None:
    assert reasons({}, {"busy_seconds": 518.0}) == "other processes used 0.8 cores during the run"


def test_other_processes_of_a_run_too_short_to_tell() -> None:
    assert reasons({}, {"busy_seconds": 502, "uptime_seconds": 3600.5}) == ""


def test_withheld_by_the_host() -> None:
    assert "withheld 0.20 cores" in reasons({}, {"stolen_seconds": 2})


def test_spread() -> None:
    scattered = replace(LATENCY, p99=1.8)
    (reason,) = reasons_for_distrust(DEVICE, HEALTH, health_after_run(), scattered, None)
    assert reason == "the runs differ: p99 is 1.8 times the median"


def test_two_speeds() -> None:
    slow_for_long = replace(LATENCY, min=0.5 * LATENCY.p50)
    (reason,) = reasons_for_distrust(DEVICE, HEALTH, health_after_run(), slow_for_long, None)
    assert reason == "the runs differ: the median is 2.0 times the fastest"
