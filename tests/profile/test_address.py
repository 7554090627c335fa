from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.profile import address
from edgekit.profile.address import Address, parsed


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("local", Address("local", "local")),
        ("ssh://raspberrypi.local", Address("ssh://raspberrypi.local", "ssh", "raspberrypi.local")),
        ("ssh://pi@10.0.0.7:2222", Address("ssh://pi@10.0.0.7:2222", "ssh", "pi@10.0.0.7", 2222)),
        ("ssh://me@[fe80::1]:22", Address("ssh://me@[fe80::1]:22", "ssh", "me@fe80::1", 22)),
        ("adb://emulator-5554", Address("adb://emulator-5554", "adb", "emulator-5554")),
        ("adb://192.168.1.4:5555", Address("adb://192.168.1.4:5555", "adb", "192.168.1.4:5555")),
    ],
)
def test_addresses(text: str, wanted: Address) -> None:
    assert parsed(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        *("", "raspberrypi", "ssh://", "ssh://-oProxyCommand=id", "ssh://-l@host", "ssh://a@-host", "ssh://host:0"),
        *("ssh://host:65536", "ssh://host:22x", "ssh://ho st", "ssh://host;id", "ssh://host\nid", "ssh://$(id)@host"),
        *("ssh://host/path", "ssh://user:secret@host", "ssh://a'b", "ssh://[fe80::1", "ssh://h\u00f6st"),
        *("adb://", "adb://-s", "adb://a b", "adb://a;reboot", "http://host", "LOCAL"),
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(EdgekitError) as caught:
        parsed(text)
    assert caught.value.code == "EK720"


@pytest.mark.parametrize("python", ["python3", "/usr/bin/python3.11", "~/.venv/bin/python", "~/edge-kit/bin/python"])
def test_pythons(python: str) -> None:
    assert address.checked_python(python) == python


@pytest.mark.parametrize(
    "python", ["", "-c", "python3 -I", "python3;id", "$(id)", "a/b", "~root/python", "py\nthon", "'"]
)
def test_what_is_no_python(python: str) -> None:
    with pytest.raises(EdgekitError) as caught:
        address.checked_python(python)
    assert caught.value.code == "EK720"


def test_the_words_for_ssh() -> None:
    words = parsed("ssh://pi@host:2222").agent("python3")
    assert words[0] == "ssh"
    assert words[words.index("-p") + 1] == "2222"
    assert words[-3:-1] == ["--", "pi@host"]
    assert {"BatchMode=yes", "ConnectTimeout=10", "-a", "-x", "-T"} <= set(words)
    assert shlex.split(words[-1])[:3] == ["exec", "sh", "-c"]
    assert len(shlex.split(words[-1])) == 4, "a login shell sees one word"


def test_the_words_for_adb_and_here() -> None:
    assert parsed("adb://x1").agent("python3")[:5] == ["adb", "-s", "x1", "shell", "-T"]
    assert parsed("local").agent("python3")[:2] == ["sh", "-c"]


def test_a_folder_that_is_removed_is_one_of_ours() -> None:
    assert parsed("local").removal("/tmp/edgekit.0123456789")[-1] == "rm -rf /tmp/edgekit.0123456789"
    for folder in ("/", "/tmp", "/tmp/edgekit.short", "/tmp/../edgekit.0123456789", "/tmp/x;id/edgekit.0123456789"):
        with pytest.raises(AssertionError):
            parsed("local").removal(folder)


def test_the_script_keeps_the_exit_code_and_removes_its_folder(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\ntouch left; exit 7\n")
    python.chmod(0o755)
    ran = subprocess.run(
        parsed("local").agent(str(python)), env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"}, capture_output=True
    )
    assert ran.returncode == 7
    first, last = ran.stdout.decode().splitlines()
    assert first.startswith(f"edgekit-folder {tmp_path}/edgekit.")
    assert last == "edgekit-removed"
    assert list(tmp_path.iterdir()) == [python]
