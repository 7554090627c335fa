"""What every room's tests may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.profile import ssh_server

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


# The same examples in every run, however busy the machine.
hypothesis.settings.register_profile("edgekit", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("edgekit")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real models and samples, which lie beside the repository where there are any."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the real models and samples in ../shared, which are not part of the repository")
    return SHARED


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ssh_server.Server]:
    """A device that is this machine, behind a real sshd; one server for all tests of a process."""
    with ssh_server.running(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def server(sshd: ssh_server.Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ssh_server.Server]:
    """The server, with a client that may log in. Whatever a test does, nothing may be left behind there."""
    ssh_server.client(sshd, monkeypatch, tmp_path / "client")
    yield sshd
    assert ssh_server.awaited(lambda: not sshd.left_behind()), sshd.left_behind()
    assert ssh_server.awaited(lambda: not ssh_server.processes_in(sshd.there)), ssh_server.processes_in(sshd.there)
