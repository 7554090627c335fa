"""A process beside the agent: what is known of it once it has gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgekit.profile import parcel
from edgekit.profile.bench import Failure
from edgekit.profile.player import Player
from tests.profile import jobs


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is the agent: its file is what children run."""
    path = tmp_path / parcel.AGENT
    path.write_bytes(parcel.agent_file())
    monkeypatch.setattr(sys, "argv", [str(path)])


@pytest.mark.usefixtures("agent")
def test_a_dead_child_is_not_asked_again(tmp_path: Path) -> None:
    wanted = jobs.job(tmp_path)
    player = Player(0, wanted["artifacts"][0], wanted, lambda: None)
    assert player.alive
    os.kill(player._child.pid, signal.SIGKILL)
    player._child.wait()
    with pytest.raises(Failure, match="SIGKILL"):
        player.ask("warm_up")
    assert not player.alive
    player.close()


@pytest.mark.usefixtures("agent")
def test_one_that_cannot_open_its_file_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def popen(*arguments: Any, **more: Any) -> Any:
        started.append(real(*arguments, **more))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", popen)
    wanted = jobs.job(tmp_path)
    Path(wanted["artifacts"][0]["path"]).write_bytes(b"nothing")
    with pytest.raises(Failure) as caught:
        Player(0, wanted["artifacts"][0], wanted, lambda: None)
    assert caught.value.kind == "load"
    (child,) = started
    assert child.poll() is not None
