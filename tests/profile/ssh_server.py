"""A real sshd on the loopback interface, with keys of its own and a client that knows nothing but it."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
SSH = shutil.which("ssh")
START_S = 10.0


@dataclass(frozen=True)
class Server:
    """folder: keys and settings; there: what the device's TMPDIR is; its programs' PATH begins with there / bin."""

    folder: Path
    there: Path
    port: int

    @property
    def address(self) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    def left_behind(self) -> list[str]:
        return [path.name for path in self.there.glob("edgekit.*")]


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """The server, until the block ends. Skips the test where there is no sshd."""
    if SSHD is None or SSH is None:
        pytest.skip("needs sshd and ssh: apt install openssh-server openssh-client")
    there = folder / "there"
    (there / "bin").mkdir(parents=True)
    for name in ("host", "other_host", "user", "other_user"):
        _made("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"SetEnv TMPDIR={there} PATH={there}/bin:/usr/bin:/bin\n"
    )
    for name, key in (("known_hosts", "host"), ("wrong_hosts", "other_host")):
        (folder / name).write_text(f"[127.0.0.1]:{port} {(folder / f'{key}.pub').read_text()}")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks itself in while nobody is logged in yet
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
        try:
            _await(port, server, folder / "log")
            yield Server(folder, there, port)
        finally:
            server.terminate()
            server.wait()


def client(server: Server, monkeypatch: pytest.MonkeyPatch, bin_folder: Path, **settings: str) -> None:
    """ssh on the PATH becomes one that reads settings of its own instead of the user's."""
    wanted = {
        "IdentityFile": f"{server.folder}/user",
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": f"{server.folder}/known_hosts",
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        **settings,
    }
    bin_folder.mkdir(exist_ok=True)
    config = bin_folder / "ssh_config"
    config.write_text("".join(f"{key} {value}\n" for key, value in wanted.items()))
    wrapper = bin_folder / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {SSH} -F {config} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def _made(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _await(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    start = time.monotonic()
    while time.monotonic() - start < START_S:
        assert server.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"no sshd within {START_S} s: {log.read_text()}")


def processes_in(folder: Path) -> list[str]:
    """Command lines of what still runs in a folder below it, or in one that has been removed."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(folder)):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:  # it has just ended
            continue
    return found


def awaited(condition: Callable[[], bool], within_s: float = 10.0) -> bool:
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > within_s:
            return False
        time.sleep(0.02)
    return True


def program(path: Path, body: str) -> str:
    """A shell script; its path."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)
