"""Every way in which a device can fail, on a real sshd; the fixture `server` sees that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import venv
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from edgekit.errors import EdgekitError
from edgekit.profile import answer, remote
from edgekit.profile.address import Address, parsed
from edgekit.profile.parcel import Parcel, parcel
from tests.profile import jobs, ssh_server
from tests.profile.ssh_server import Server, awaited, processes_in, program

PROBE = parcel({"probe": True}, {})
DOCUMENT = '{"schema": 1}'


def to_measure(folder: Path, **more: Any) -> Parcel:
    """A parcel with a TFLite and an ONNX file, under names of the device's."""
    wanted = jobs.job(folder, **more)
    files: dict[str, bytes | Path] = {}
    for i, artifact in enumerate(wanted["artifacts"]):
        files |= {f"{i}.model": Path(artifact["path"]), f"{i}.npz": Path(artifact["inputs"])}
        artifact |= {"path": f"{i}.model", "inputs": f"{i}.npz"}
    return parcel(wanted, files)


def refused(server: Server, sent: Parcel, code: str, *words: str, python: str = sys.executable, **more: Any) -> None:
    """Running it there, and reading the answer, fails with that code and those words."""
    there = parsed(server.address)
    with pytest.raises(EdgekitError) as caught:
        answer.measurements(remote.run(there, sent, python=python, **more), there, ("a.onnx", "b.tflite"))
    assert caught.value.code == code, str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_measures_over_ssh(server: Server, tmp_path: Path) -> None:
    there, seen = parsed(server.address), []
    document = remote.run(
        there, to_measure(tmp_path), python=sys.executable, advance=lambda done, total: seen.append((done, total))
    )
    found = answer.measurements(document, there, ("a.onnx", "b.tflite"))
    assert [len(one.times_s) for one in found.artifacts] == [20, 20]
    assert seen == [(i + 1, 10) for i in range(10)]


def test_probes_over_ssh(server: Server) -> None:
    there = parsed(server.address)
    found = answer.probed(remote.run(there, PROBE, python=sys.executable), there)
    assert found.packages["numpy"].version == np.__version__


# ---- no connection ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("place", ["ssh://127.0.0.1:1", "ssh://nowhere.invalid"])
def test_a_host_that_is_not_there(place: str) -> None:
    with pytest.raises(EdgekitError) as caught:
        remote.run(parsed(place), PROBE)
    assert caught.value.code == "EK721"
    assert "refused" in caught.value.why or "resolve" in caught.value.why


def test_a_wrong_host_key(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = f"{server.folder}/wrong_hosts"
    ssh_server.client(server, monkeypatch, tmp_path / "strict", UserKnownHostsFile=known)
    refused(server, PROBE, "EK722", "IDENTIFICATION HAS CHANGED")


def test_an_unknown_host_key(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh_server.client(server, monkeypatch, tmp_path / "new", UserKnownHostsFile="/dev/null")
    refused(server, PROBE, "EK722", "verification failed")


def test_a_key_that_is_not_let_in(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh_server.client(server, monkeypatch, tmp_path / "other", IdentityFile=f"{server.folder}/other_user")
    refused(server, PROBE, "EK723", "Permission denied", "ssh-copy-id")


@pytest.mark.parametrize(("place", "tool"), [("ssh://host", "openssh-client"), ("adb://x", "install adb")])
def test_no_program_to_connect_with(place: str, tool: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgekitError) as caught:
        remote.run(parsed(place), PROBE)
    assert caught.value.code == "EK734"
    assert tool in caught.value.fix


def test_ssh_that_says_nothing() -> None:
    assert remote.unanswered(parsed("ssh://a"), "python3", 255, "").why == "ssh ended without a word"


# ---- what the device lacks -------------------------------------------------------------------------------------------


def test_no_python_there(server: Server) -> None:
    refused(server, PROBE, "EK724", "/nowhere/python3", "--python", python="/nowhere/python3")


def test_an_old_python_there(server: Server, tmp_path: Path) -> None:
    old = program(tmp_path / "old", f'exec {sys.executable} -c "import sys;sys.version_info = (3, 6);$2"')
    refused(server, PROBE, "EK724", "it is Python 3.6, and 3.8 is needed", python=old)


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python of its own, without any package."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    return folder / "bin" / "python"


def test_no_numpy_there(server: Server, tmp_path: Path, bare_python: Path) -> None:
    refused(server, to_measure(tmp_path), "EK725", "No module named", "devices probe", python=str(bare_python))


def test_no_runtime_there(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "numpy_only"
    venv.create(folder, with_pip=False)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    for found in Path(np.__file__).parents[1].glob("numpy*"):
        (packages / found.name).symlink_to(found)
    python = str(folder / "bin" / "python")
    refused(server, to_measure(tmp_path), "EK726", "'a.onnx'", "onnxruntime", python=python)


def test_a_full_disk_there(server: Server, tmp_path: Path) -> None:
    full = program(tmp_path / "full", f'ulimit -f 4; exec {sys.executable} "$@"')
    refused(server, PROBE, "EK727", "File too large", python=full)


def test_no_folder_can_be_made_there(server: Server) -> None:
    mktemp = server.there / "bin" / "mktemp"
    program(mktemp, "echo 'mktemp: No space left on device' >&2; exit 1")
    try:
        refused(server, PROBE, "EK727", "No space left on device")
    finally:
        mktemp.unlink()


# ---- what goes wrong while it runs -----------------------------------------------------------------------------------


def agents(server: Server) -> list[psutil.Process]:
    """The agent itself, which has children of its own."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(server.there)) and "-c" in process.cmdline() and process.children():
                found.append(process)
        except psutil.Error:
            continue
    return [process for process in found if process.name().startswith("python")]


def meanwhile(does: Any) -> threading.Thread:
    thread = threading.Thread(target=does, daemon=True)
    thread.start()
    return thread


def test_an_agent_that_is_killed(server: Server, tmp_path: Path) -> None:
    def kill() -> None:
        assert awaited(lambda: bool(agents(server)))
        agents(server)[0].kill()

    thread = meanwhile(kill)
    refused(server, to_measure(tmp_path, runs=10**6), "EK728", "signal 9")
    thread.join()


def test_a_file_whose_process_is_killed(server: Server, tmp_path: Path) -> None:
    def kill() -> None:
        assert awaited(lambda: bool(agents(server)))
        agents(server)[0].children()[0].kill()

    thread = meanwhile(kill)
    refused(server, to_measure(tmp_path, runs=10**6), "EK733", "SIGKILL", "'a.onnx'")
    thread.join()


def test_a_connection_that_breaks(server: Server, tmp_path: Path) -> None:
    def cut() -> None:
        assert awaited(lambda: bool(agents(server)))
        sessions = [one for one in agents(server)[0].parents() if "@notty" in " ".join(one.cmdline())]
        sessions[0].kill()

    thread = meanwhile(cut)
    refused(server, to_measure(tmp_path, runs=10**6), "EK721")
    thread.join()


def test_a_file_that_the_runtime_refuses(server: Server, tmp_path: Path) -> None:
    sent = to_measure(tmp_path)
    damaged = Parcel({**sent.files, "1.model": b"\x00" * 100})
    refused(server, damaged, "EK731", "cannot load 'b.tflite'")


def test_a_device_that_hangs(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "GRACE_S", 0.3)
    hanging = program(tmp_path / "hanging", "cd /; exec sleep 5")
    refused(server, PROBE, "EK730", "not a word within 1.5 s", "--timeout", python=hanging, silence_s=1.5)


def stop(*_: object) -> None:
    raise KeyboardInterrupt


# It does not even notice that nobody listens any more.
DEAF = "echo edgekit-progress 1 2; cd /; exec sleep 4"


def test_a_second_connection_removes_what_the_first_left(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "GRACE_S", 0.1)
    with pytest.raises(KeyboardInterrupt):
        remote.run(parsed(server.address), PROBE, python=program(tmp_path / "deaf", DEAF), advance=stop)
    assert awaited(lambda: server.left_behind() == [], 10.0), "the first connection may be removing it too"


@pytest.mark.parametrize("removal", [["false"], ["sleep", "60"]], ids=["refused", "slow"])
def test_a_folder_that_stays(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removal: list[str]
) -> None:
    monkeypatch.setattr(remote, "GRACE_S", 0.3)
    monkeypatch.setattr(remote, "REMOVAL_S", 0.3)
    monkeypatch.setattr(Address, "removal", lambda *_: removal)
    deaf = program(tmp_path / "deaf", DEAF)
    refused(server, PROBE, "EK728", "could not be removed", "rm -r", python=deaf, advance=stop)


def test_ctrl_c(server: Server, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        remote.run(parsed(server.address), to_measure(tmp_path, runs=10**4), python=sys.executable, advance=stop)
    assert server.left_behind() == [], "it waited until the folder was gone"
    assert awaited(lambda: processes_in(server.there) == [])


# ---- a device that lies ----------------------------------------------------------------------------------------------


def says(folder: Path, *lines: str) -> str:
    """A Python that reads nothing and says this."""
    folder.mkdir(exist_ok=True)
    (folder / "said").write_text("".join(line + "\n" for line in lines))
    return program(folder / "python", f"cat {folder}/said")


def framed(document: str) -> tuple[str, str]:
    import hashlib

    return f"edgekit-result {len(document)} {hashlib.sha256(document.encode()).hexdigest()}", document


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (framed("garbage"), "Invalid JSON"),
        (framed("[" * 10**5), "Invalid JSON"),
        (framed(DOCUMENT), "Field required"),
        (framed('{"schema": 2, "failure": {"kind": "numpy", "text": "", "artifact": null}}'), "schema"),
        (framed('{"schema": 1, "failure": {"kind": "odd", "text": "", "artifact": null}}'), "kind 'odd'"),
        ((f"edgekit-result {len(DOCUMENT)} {'0' * 64}", DOCUMENT), "damaged on the way"),
        ((f"edgekit-result {2**31} {'0' * 64}",), "at most are read"),
        (("x" * 10**5,), "a line of more than"),
    ],
    ids=["no json", "deep json", "empty", "another schema", "another failure", "damaged", "announced", "long line"],
)
def test_what_makes_no_sense(server: Server, tmp_path: Path, lines: tuple[str, ...], words: str) -> None:
    refused(server, PROBE, "EK729", words, python=says(tmp_path / "liar", *lines))


def test_a_device_that_never_stops_talking(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MOST_BYTES", 10**5)
    refused(server, PROBE, "EK729", "it said more than", python=program(tmp_path / "yes", "exec yes"))


def test_an_answer_that_never_comes_to_its_end(server: Server, tmp_path: Path) -> None:
    liar = says(tmp_path / "liar", f"edgekit-result 1000 {'0' * 64}", "short")
    refused(server, PROBE, "EK728", "status 0", python=liar)


def test_odd_lines_are_passed_over(server: Server, tmp_path: Path) -> None:
    odd = ("Welcome!", "edgekit-progress x y", "edgekit-result -1 z", "edgekit-folder /etc", "", *framed(DOCUMENT))
    seen: list[object] = []
    document = remote.run(
        parsed(server.address), PROBE, python=says(tmp_path / "odd", *odd), advance=lambda *step: seen.append(step)
    )
    assert document == DOCUMENT.encode()
    assert seen == []


def test_last_words_are_bounded(server: Server, tmp_path: Path) -> None:
    loud = program(tmp_path / "loud", "head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 3")
    with pytest.raises(EdgekitError) as caught:
        remote.run(parsed(server.address), PROBE, python=loud)
    assert caught.value.code == "EK728"
    assert "status 3" in caught.value.why
    assert len(caught.value.why) < 2 * remote.TAIL_BYTES


# ---- adb, and here ---------------------------------------------------------------------------------------------------


def fake_adb(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> Address:
    folder.mkdir()
    program(folder / "adb", body)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(folder))
    return parsed("adb://x1")


def test_measures_over_adb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = fake_adb(tmp_path / "adb", monkeypatch, '[ "$1 $2 $3 $4" = "-s x1 shell -T" ] && exec sh -c "$5"')
    document = remote.run(there, to_measure(tmp_path), python=sys.executable)
    assert len(answer.measurements(document, there, ("a", "b")).artifacts) == 2
    assert [path.name for path in (tmp_path / "adb").iterdir()] == ["adb"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("adb: device 'x1' not found", "EK721"),
        ("error: device offline", "EK721"),
        ("error: device unauthorized.", "EK723"),
        ("something else", "EK728"),
    ],
)
def test_adb_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, code: str) -> None:
    there = fake_adb(tmp_path / "adb", monkeypatch, f'echo "{words}" >&2; exit 1')
    with pytest.raises(EdgekitError, match=words) as caught:
        remote.run(there, PROBE)
    assert caught.value.code == code


def test_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    document = remote.run(parsed("local"), PROBE, python=remote.this_python())
    assert json.loads(document)["system"]["python"].startswith("3.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "words"), [(-signal.SIGKILL, "signal 9"), (137, "signal 9"), (1, "status 1")], ids=str
)
def test_how_it_ended(status: int, words: str) -> None:
    assert words in remote.unanswered(parsed("local"), "python3", status, "").why


def test_nothing_of_it_goes_through_a_shell_here(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def popen(command: Any, **more: Any) -> Any:
        asked.append((command, more.get("shell")))
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(EdgekitError):
        remote.run(parsed("ssh://host"), PROBE)
    assert isinstance(asked[0][0], list)
    assert asked[0][1] is None
