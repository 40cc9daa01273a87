"""What a device is: processor, system, memory, and whether it is real hardware."""

import re
import secrets
from collections import defaultdict
from dataclasses import dataclass

from bitat_deploy.device.connection import Connection
from bitat_deploy.errors import RunFailedError
from bitat_deploy.plain_text import foreign_text

# $1 is the folder for our files, empty for the user's cache folder; $2 a random name. Prints
# NAME=VALUE lines, with a POSIX shell and tools that every Linux system has. What a device lacks is
# empty: small systems have no getconf, so then the word size is in the header of a program, and the
# version in the C library. Device tree strings end in a zero byte. It starts few processes, as each
# takes a slow device milliseconds.
_SCRIPT = r"""
say() { printf '%s=%s\n' "$1" "$2"; }
one_line() { tr '\000\n' '  '; }
say machine "$(uname -m)"
say kernel "$(uname -sr)"
say bits "$(getconf LONG_BIT 2>/dev/null ||
  dd if=/bin/sh bs=1 skip=4 count=1 2>/dev/null | tr '\001\002' 12)"
say glibc "$(getconf GNU_LIBC_VERSION 2>/dev/null ||
  grep -haos 'release version [0-9.]*[0-9]' /lib*/libc.so.6 /lib/*/libc.so.6 | head -n 1)"
say os "$(. /etc/os-release 2>/dev/null && printf '%s' "$PRETTY_NAME")"
say board "$(one_line 2>/dev/null < /proc/device-tree/model)"
say compatible "$(one_line 2>/dev/null < /proc/device-tree/compatible)"
awk -F '[[:space:]]*:[[:space:]]*' '
  BEGIN {
    name["vendor_id"] = "vendor"; name["model name"] = "cpu_name"; name["MemTotal"] = "memory"
    name["CPU implementer"] = "implementer"; name["CPU part"] = "part"
    name["Features"] = "features"; name["flags"] = "features"
    name["Cpus_allowed_list"] = "allowed"
  }
  $1 == "processor" { online = online "," $2 }
  ($1 in name) && !(name[$1] in said) { print name[$1] "=" $2; said[name[$1]] = 1 }
  END { print "online=" online }
' /proc/cpuinfo /proc/meminfo /proc/self/status 2>/dev/null
say virtualization "$(systemd-detect-virt 2>/dev/null)"
say dmi "$(cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name 2>/dev/null | one_line)"
say governor "$(cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor 2>/dev/null)"
write_probe() { set -C; printf '#!/bin/sh\n' > "$probe" && chmod 700 "$probe"; }
try() {
  write_refusal=$(mkdir -p "$1" 2>&1 | one_line)
  probe=$1/bitat-deploy
  [ -d "$probe" ] || probe=$1
  probe=$probe/.probe-$2
  [ "$write_refusal" ] || write_refusal=$( (write_probe) 2>&1 | one_line)
  execute_refusal=$([ -f "$probe" ] && "$probe" 2>&1 | one_line)
  rm -f "$probe"
  [ -z "$write_refusal$execute_refusal" ]
}
cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}}
try "$cache" "$2" || for other in /var/tmp /tmp /dev/shm; do
  (try "$other" "$2") && say other "$other" && break
done
say write_refusal "$write_refusal"
say execute_refusal "$execute_refusal"
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


_PATH = re.compile("/.{0,1000}")


@dataclass(frozen=True)
class Device:
    """What was found on the device.

    ``arch`` is that of the programs that run there, not of the kernel: a 32-bit system may sit on
    a 64-bit kernel. ``cores`` are those that our programs may use: not the ones that are offline
    or outside their cpuset. ``emulated``: its timings are not those of real hardware. ``glibc`` is
    empty if the C library is another one. ``cache`` is a folder there; ``write_refusal`` and
    ``execute_refusal`` give the system's reason why files cannot be written there or programs
    cannot be started from there, and are empty if they can. If they cannot, ``other_folder`` is one
    where they can, if there is any.
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
    other_folder: str = ""


def inspect_device(connection: Connection) -> Device:
    """Read what the device is, in one round trip. Raises RunFailedError."""
    arguments = [connection.folder, secrets.token_hex(8)]
    result = connection.run(["sh", "-c", _SCRIPT, "sh", *arguments])
    facts: defaultdict[str, str] = defaultdict(str)
    for line in result.stdout.decode(errors="replace").splitlines():
        name, _, value = line.partition("=")
        # Lists and a path, which are not shown as they are; all else is for readers.
        whole = name in ("features", "allowed", "online", "cache")
        facts[name] = value.strip() if whole else foreign_text(value)
    if result.exit_code != 0 or not facts["machine"]:
        raise RunFailedError(
            f"'{connection.name}' does not answer as a Linux system would: {result.last_error}"
        )
    if not _PATH.fullmatch(facts["cache"]) or not facts["cache"].isprintable():
        raise RunFailedError(
            f"the user's cache folder on '{connection.name}' has no plain absolute path; choose "
            "another folder with --device-folder"
        )
    return Device(
        name=connection.name,
        arch=user_land(facts["machine"], facts["bits"]),
        cpu=_cpu(facts),
        features=frozenset(facts["features"].split()),
        board=_board(facts["board"]),
        os=facts["os"],
        kernel=facts["kernel"],
        glibc=_glibc(facts["glibc"]),
        cores=_cores(facts),
        memory_bytes=_number(facts["memory"]) * 1024,
        free_disk_bytes=_number(facts["free"]) * 1024,
        governor=facts["governor"],
        emulated=is_emulated(facts),
        cache=facts["cache"],
        write_refusal=_reason(facts["write_refusal"]),
        execute_refusal=_reason(facts["execute_refusal"]),
        other_folder=facts["other"],
    )


def user_land(machine: str, bits: str) -> str:
    """Architecture of the programs: ``uname -m`` gives the kernel's.

    ``bits`` is their word size, or the class in the ELF header of one: "1" for 32 bits.
    """
    if bits not in ("32", "1"):
        return machine
    # To a program that asks for 32 bits, a 64-bit ARM kernel calls itself armv8l.
    return {"aarch64": "armv7l", "armv8l": "armv7l", "x86_64": "i686"}.get(machine, machine)


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


def _glibc(told: str) -> str:
    match = re.fullmatch(r"(?:glibc|release version) ([0-9]{1,3}(?:\.[0-9]{1,5}){1,3})", told)
    return match[1] if match else ""


def _cores(facts: dict[str, str]) -> int:
    """How many processors are online (/proc/cpuinfo) and allowed; at least the one that answers."""
    allowed, online = _listed(facts["allowed"]), _listed(facts["online"])
    # A container may number its processors anew in /proc/cpuinfo only.
    common = allowed & online or min(allowed, online, key=len) or allowed | online
    return max(len(common), 1)


def _listed(text: str) -> set[int]:
    """The numbers of a list like "0-3,7"."""
    numbers: set[int] = set()
    for first, last in re.findall(r"(?:^|,)([0-9]{1,4})(?:-([0-9]{1,4}))?(?=,|$)", text):
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def _reason(message: str) -> str:
    """The last part of a shell's error message, as in "sh: 1: cannot create X: Reason"."""
    return message.rpartition(": ")[2]


def _number(text: str) -> int:
    match = re.match("[0-9]{1,12}(?![0-9])", text)
    return int(match.group()) if match else 0
