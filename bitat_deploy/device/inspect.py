"""What a device is: processor, system, memory, and whether it is real hardware."""

import re
from collections import defaultdict
from dataclasses import dataclass

from bitat_deploy.device.connection import Connection
from bitat_deploy.errors import RunFailedError
from bitat_deploy.plain_text import foreign_text

# Prints NAME=VALUE lines, with a POSIX shell and tools that every Linux system has. What a device
# lacks is empty. Device tree strings end in a zero byte. It starts few processes, as each takes a
# slow device milliseconds.
_SCRIPT = r"""
say() { printf '%s=%s\n' "$1" "$2"; }
one_line() { tr '\000\n' '  '; }
say machine "$(uname -m)"
say kernel "$(uname -sr)"
say bits "$(getconf LONG_BIT 2>/dev/null)"
say glibc "$(getconf GNU_LIBC_VERSION 2>/dev/null)"
say cores "$(getconf _NPROCESSORS_ONLN 2>/dev/null)"
say os "$(. /etc/os-release 2>/dev/null && printf '%s' "$PRETTY_NAME")"
say board "$(one_line 2>/dev/null < /proc/device-tree/model)"
say compatible "$(one_line 2>/dev/null < /proc/device-tree/compatible)"
awk -F '[[:space:]]*:[[:space:]]*' '
  BEGIN {
    name["vendor_id"] = "vendor"; name["model name"] = "cpu_name"; name["MemTotal"] = "memory"
    name["CPU implementer"] = "implementer"; name["CPU part"] = "part"
    name["Features"] = "features"; name["flags"] = "features"
  }
  ($1 in name) && !(name[$1] in said) { print name[$1] "=" $2; said[name[$1]] = 1 }
' /proc/cpuinfo /proc/meminfo 2>/dev/null
say virtualization "$(systemd-detect-virt 2>/dev/null)"
say dmi "$(cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name 2>/dev/null | one_line)"
say governor "$(cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor 2>/dev/null)"
cache=${XDG_CACHE_HOME:-$HOME/.cache}
refusal=$(mkdir -p "$cache" 2>&1 | one_line)
folder=$cache/bitat-deploy
[ -d "$folder" ] || folder=$cache
probe=$folder/.probe-$$
write_probe() { printf '#!/bin/sh\n' > "$probe" && chmod 700 "$probe"; }
[ "$refusal" ] || refusal=$( (write_probe) 2>&1 | one_line)
say write_refusal "$refusal"
say execute_refusal "$([ -f "$probe" ] && "$probe" 2>&1 | one_line)"
rm -f "$probe"
say cache "$cache"
say free "$(df -Pk "$cache" 2>/dev/null | awk 'END { print $4 }')"
"""

# (implementer, part) of /proc/cpuinfo, which on ARM has no name for the processor.
_ARM_CORES = {
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd04"): "Cortex-A35",
    ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd09"): "Cortex-A73",
    ("0x41", "0xd0a"): "Cortex-A75",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd49"): "Neoverse-N2",
    ("0x41", "0xd4f"): "Neoverse-V2",
}


@dataclass(frozen=True)
class Device:
    """What was found on the device.

    ``arch`` is that of the programs that run there, not of the kernel: a 32-bit system may sit on
    a 64-bit kernel. ``emulated``: its timings are not those of real hardware. ``glibc`` is empty if
    the C library is another one. ``cache`` is a folder there; ``write_refusal`` and
    ``execute_refusal`` give the system's reason why files cannot be written there or programs
    cannot be started from there, and are empty if they can.
    """

    name: str
    arch: str
    cpu: str
    features: frozenset[str]
    board: str
    os: str
    kernel: str
    glibc: str
    cores: int
    memory_bytes: int
    free_disk_bytes: int
    governor: str
    emulated: bool
    cache: str
    write_refusal: str = ""
    execute_refusal: str = ""


def inspect_device(connection: Connection) -> Device:
    """Read what the device is, in one round trip. Raises RunFailedError."""
    result = connection.run(["sh", "-c", _SCRIPT])
    facts: defaultdict[str, str] = defaultdict(str)
    for line in result.stdout.decode(errors="replace").splitlines():
        name, _, value = line.partition("=")
        # A list of names and a path, which are not shown as they are; all else is for readers.
        whole = name in ("features", "cache")
        facts[name] = value.strip() if whole else foreign_text(value)
    if result.exit_code != 0 or not facts["machine"]:
        raise RunFailedError(
            f"'{connection.name}' does not answer as a Linux system would: {result.last_error}"
        )
    return Device(
        name=connection.name,
        arch=user_land(facts["machine"], facts["bits"]),
        cpu=_cpu(facts),
        features=frozenset(facts["features"].split()),
        board=_board(facts["board"]),
        os=facts["os"],
        kernel=facts["kernel"],
        glibc=facts["glibc"].removeprefix("glibc ") if "glibc" in facts["glibc"] else "",
        cores=_number(facts["cores"]),
        memory_bytes=_number(facts["memory"]) * 1024,
        free_disk_bytes=_number(facts["free"]) * 1024,
        governor=facts["governor"],
        emulated=is_emulated(facts),
        cache=facts["cache"],
        write_refusal=_reason(facts["write_refusal"]),
        execute_refusal=_reason(facts["execute_refusal"]),
    )


def user_land(machine: str, bits: str) -> str:
    """Architecture of the programs: ``uname -m`` gives the kernel's, ``getconf`` theirs."""
    if bits != "32":
        return machine
    return {"aarch64": "armv7l", "x86_64": "i686"}.get(machine, machine)


def is_emulated(facts: dict[str, str]) -> bool:
    """Whether the processor is emulated, so that times say nothing about hardware.

    Being a virtual machine does not mean that: with KVM, code runs at the hardware's speed, as on
    most cloud machines. systemd tells the two apart ("qemu" is emulation, "kvm" is not). On ARM a
    device tree of QEMU's "virt" board counts as emulated, though it could be KVM: calling
    hardware emulated is the smaller mistake, and no such board is sold.
    """
    board = f"{facts['board']} {facts['compatible']}".lower()
    arm = facts["machine"].startswith(("aarch64", "arm"))
    return (
        facts["virtualization"] in ("qemu", "bochs")
        or any(word in board for word in ("dummy-virt", "(virtual)", "qemu"))
        or "TCG" in facts["cpu_name"]
        # qemu-user shows the host's /proc/cpuinfo to ARM programs.
        or (arm and facts["vendor"] in ("GenuineIntel", "AuthenticAMD"))
        or (arm and "qemu" in facts["dmi"].lower() and facts["virtualization"] != "kvm")
    )


def _board(model: str) -> str:
    """The board's model; QEMU's device tree has an obscure name for its machine."""
    return "QEMU virtual machine" if model == "linux,dummy-virt" else model


def _cpu(facts: dict[str, str]) -> str:
    core = _ARM_CORES.get((facts["implementer"], facts["part"]), "")
    return core or facts["cpu_name"] or facts["machine"]


def _reason(message: str) -> str:
    """The last part of a shell's error message, as in "sh: 1: cannot create X: Reason"."""
    return message.rpartition(": ")[2]


def _number(text: str) -> int:
    match = re.match("[0-9]{1,12}(?![0-9])", text)
    return int(match.group()) if match else 0
