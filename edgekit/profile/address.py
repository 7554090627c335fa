"""Where a device is, as the user writes it: local, ssh://user@host:port or adb://serial. And how a command gets there.

A command line is a list of words and never goes through a shell of this machine. Whatever the user wrote is held
against a pattern first, so that nothing in it can be taken for an option or for a word of a shell there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from edgekit.errors import EdgekitError

CONNECT_S = 10
ALIVE_S, ALIVE_COUNT = 5, 3  # ssh asks a silent device for a sign of life, and gives up after three

SSH = re.compile(
    r"ssh://(?:(?P<user>\w[\w.-]*)@)?(?P<host>[A-Za-z0-9][\w.-]*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?", re.A
)
ADB = re.compile(r"adb://(?P<serial>[A-Za-z0-9][\w.:-]*)", re.A)
PYTHON = re.compile(r"(?:~/|/)[\w.][\w./+-]*|\w[\w.+-]*", re.A)

# Runs there. The folder is made there, so that no path of ours ever is a word of this script; only its owner can read
# it; and it is gone when the script ends, however that happens. No single quote, backslash or exclamation mark is in
# it, so that any login shell takes the script as one word.
SCRIPT = (
    'umask 077; t=${TMPDIR:-/tmp}; [ -d "$t" ] || t=/data/local/tmp; '  # Android has no /tmp
    'd=$(mktemp -d "$t/edgekit.XXXXXXXXXX") || exit 93; '
    'gone() { cd /; rm -rf "$d" && echo edgekit-removed; }; '
    "trap gone EXIT; trap : HUP INT TERM PIPE; "  # the agent ends with its stdin, and the folder with the agent
    'echo "edgekit-folder $d"; cd "$d" || exit 93; '
    "command -v PYTHON >/dev/null || exit 127; "
    'PYTHON -c "import sys;exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"'
)
FOLDER = re.compile(r"(?:/[\w.+-]+)+/edgekit\.\w{10}", re.A)


@dataclass(frozen=True)
class Address:
    """text: as the user wrote it; place: the host or the serial number, "" for this machine."""

    text: str
    kind: Literal["local", "ssh", "adb"]
    place: str = ""
    port: int | None = None

    def command(self, script: str) -> list[str]:
        """The words that run a script of `sh` there. script: without single quotes."""
        assert not set(script) & set("'\\!\n"), "a login shell could take it apart"
        match self.kind:
            case "local":
                return ["sh", "-c", script]
            case "ssh":
                port = ["-p", str(self.port)] if self.port is not None else []
                return ["ssh", *_SSH_OPTIONS, *port, "--", self.place, f"exec sh -c '{script}'"]
            case "adb":
                return ["adb", "-s", self.place, "shell", "-T", f"exec sh -c '{script}'"]

    def agent(self, python: str) -> list[str]:
        """The words that receive a parcel and run its agent there."""
        return self.command(SCRIPT.replace("PYTHON", checked_python(python)))

    def removal(self, folder: str) -> list[str]:
        """The words that remove what an agent left behind."""
        assert FOLDER.fullmatch(folder) and ".." not in folder
        return self.command(f"rm -rf {folder}")


# No terminal, no questions, nothing of the user's lent to the device; all else is as the user's configuration says.
_SSH_OPTIONS = (
    *("-T", "-a", "-x", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_S}"),
    *("-o", f"ServerAliveInterval={ALIVE_S}", "-o", f"ServerAliveCountMax={ALIVE_COUNT}"),
)


def parsed(text: str) -> Address:
    """The address that a user wrote. Raises EK720."""
    if text == "local":
        return Address(text, "local")
    if (found := SSH.fullmatch(text)) is not None:
        port = None if found["port"] is None else int(found["port"])
        host = found["host"].strip("[]")
        if port is None or 0 < port < 65536:
            return Address(text, "ssh", f"{found['user']}@{host}" if found["user"] else host, port)
    if (found := ADB.fullmatch(text)) is not None:
        return Address(text, "adb", found["serial"])
    raise EdgekitError(
        "EK720",
        f"no device at '{text}'",
        "it is not local, ssh://[user@]host[:port] or adb://serial; names hold letters, digits, dots, '-' and '_'",
        "write it like --on ssh://pi@raspberrypi.local; whatever else it takes belongs into ~/.ssh/config",
    )


def checked_python(python: str) -> str:
    """The Python to run there, safe as a word of a shell's. Raises EK720."""
    if PYTHON.fullmatch(python) is None:
        raise EdgekitError(
            "EK720",
            f"cannot call '{python}' there",
            "a path of a Python holds letters, digits, '.', '_', '+', '-' and '/', and may begin with ~/",
            "write it like --python ~/edgekit/bin/python, without options",
        )
    return python
