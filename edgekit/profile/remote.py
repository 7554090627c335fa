"""Run the agent on a device and bring back what it says: one connection, one folder there, both gone afterwards.

The connection's stdin is the lifeline: when it closes, for whatever reason, the agent there ends, and the script around
it removes the folder. Only where that was not confirmed (the connection broke) a second connection removes it. What a
device says is untrusted: its size is bounded, its document is hashed against damage, and whoever reads it checks each
value.

Why OpenSSH itself and not a library: the user's keys, agents, jump hosts and known hosts work as they do for them every
day. What would change our mind: a system without an ssh client that people use.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edgekit.errors import EdgekitError
from edgekit.profile.address import FOLDER, Address, checked_python
from edgekit.profile.parcel import Parcel

MOST_BYTES = 2**26  # of all that a device says
LINE_BYTES = 4096
TAIL_BYTES = 4096  # of what its programs write to stderr
GRACE_S = 8.0  # for the agent to end by itself, once nobody listens
REMOVAL_S = 20.0
SILENCE_S = 60.0  # the agent gives a sign of life every two seconds; a slow card may take its time to start Python

NO_FOLDER, NO_COMMAND, NO_CONNECTION = 93, 127, 255
"""Exit codes: of our script, of a shell, of ssh itself."""

Advance = Callable[[int, int], None]
"""(done, total) rounds."""


@dataclass
class _Heard:
    """What has come so far. folder: as the device calls it; document: of the agent."""

    folder: str | None = None
    removed: bool = False
    document: bytes | None = None
    wanted: tuple[int, str] | None = None  # bytes and hash of the document that follows
    rest: bytearray = field(default_factory=bytearray)
    total_bytes: int = 0


def run(
    address: Address,
    parcel: Parcel,
    *,
    python: str = "python3",
    silence_s: float = SILENCE_S,
    advance: Advance | None = None,
) -> bytes:
    """The document that the agent prints there. Raises EdgekitError, when nothing of the agent is left there.

    python: the one to run there; silence_s: give up after so long without a word.
    """
    command = address.agent(python)
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C at the terminal reaches edgekit only, which ends the connection in order
        )
    except FileNotFoundError:
        raise EdgekitError(
            "EK734",
            f"cannot reach '{address.text}'",
            f"no program called {command[0]} is installed here",
            "apt install openssh-client" if address.kind == "ssh" else f"install {command[0]}, and put it on the PATH",
        ) from None
    heard = _Heard()
    with _ended(child, address, heard) as said:
        sending = threading.Thread(target=_send, args=(child, parcel), daemon=True)
        sending.start()
        _listen(child, address, heard, silence_s, advance)
        if heard.document is not None:
            return heard.document
        child.wait()
    raise unanswered(address, python, child.returncode, said())


@contextlib.contextmanager
def _ended(child: subprocess.Popen[bytes], address: Address, heard: _Heard) -> Iterator[Callable[[], str]]:
    """Whatever happens inside, afterwards neither the connection nor the folder there is left. Gives what can be asked
    for the last words on stderr."""
    tail, reading = _tail_of(child)

    def said() -> str:
        reading.join(GRACE_S)
        return tail.decode("utf-8", "replace").strip()

    try:
        yield said
    finally:
        with contextlib.suppress(OSError):  # half a file was buffered for a device that has gone
            assert child.stdin is not None
            child.stdin.close()
        _await_removal(child, address, heard)
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        reading.join(GRACE_S)
        for stream in (child.stdout, child.stderr):
            assert stream is not None
            stream.close()
        if not heard.removed and heard.folder is not None and FOLDER.fullmatch(heard.folder):
            _remove(address, heard.folder)


def _await_removal(child: subprocess.Popen[bytes], address: Address, heard: _Heard) -> None:
    """The agent has been told to end: hear that its folder is gone."""
    if heard.folder is None and child.poll() is not None:
        return
    with contextlib.suppress(EdgekitError):  # it does not end in time, or babbles: the caller ends it
        _listen(child, address, heard, GRACE_S, None, until_removed=True)


def _remove(address: Address, folder: str) -> None:
    """By a connection of its own, since the first one broke."""
    try:
        gone = subprocess.run(
            address.removal(folder), stdin=subprocess.DEVNULL, capture_output=True, timeout=REMOVAL_S, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        gone = None
    if gone != 0:
        left = f"its folder could not be removed: {folder} is left on {address.text}"
        raise EdgekitError(
            "EK728",
            f"the connection to '{address.text}' broke",
            left,
            f"remove it when the device is back: rm -r {folder}",
        )


def _send(child: subprocess.Popen[bytes], parcel: Parcel) -> None:
    """In a thread of its own: a device that stops reading must not keep edgekit from seeing the time."""
    assert child.stdin is not None
    try:
        for chunk in parcel.chunks():
            child.stdin.write(chunk)
        child.stdin.flush()
    except (OSError, ValueError):  # the other side has gone, or was ended; what it said before tells why
        return


def _listen(
    child: subprocess.Popen[bytes],
    address: Address,
    heard: _Heard,
    silence_s: float,
    advance: Advance | None,
    *,
    until_removed: bool = False,
) -> None:
    """Read until the document is whole, or the end of the stream, or, until_removed, the folder's end is confirmed."""
    assert child.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        last = time.monotonic()
        while not (heard.removed if until_removed else heard.document is not None):
            left_s = silence_s - (time.monotonic() - last)
            if left_s <= 0 or not selector.select(left_s):
                raise EdgekitError(
                    "EK730",
                    f"'{address.text}' took too long",
                    f"not a word within {silence_s:g} s",
                    "check that the device still runs; for a slow one, give more time with --timeout",
                )
            read = os.read(child.stdout.fileno(), 2**16)
            if not read:
                return
            heard.total_bytes += len(read)
            if heard.total_bytes > MOST_BYTES:
                raise garbage(address, f"it said more than {MOST_BYTES} bytes")
            heard.rest += read
            if _take(address, heard, advance):
                last = time.monotonic()


def _take(address: Address, heard: _Heard, advance: Advance | None) -> bool:
    """Take the whole lines out of what was heard; True where one was the agent's. What a login shell prints is not."""
    lively = False
    while True:
        if heard.wanted is not None:
            size, sha256 = heard.wanted
            if len(heard.rest) < size:
                return True  # it is coming
            document = bytes(heard.rest[:size])
            del heard.rest[:size]
            heard.wanted, lively = None, True
            if hashlib.sha256(document).hexdigest() != sha256:
                raise garbage(address, "its answer was damaged on the way")
            heard.document = document
        line, newline, rest = heard.rest.partition(b"\n")
        if not newline:
            if len(line) > LINE_BYTES:
                raise garbage(address, f"a line of more than {LINE_BYTES} bytes where the agent's words should be")
            return lively
        heard.rest = rest
        lively |= _understood(address, heard, line.decode("utf-8", "replace").strip(), advance)


def _understood(address: Address, heard: _Heard, line: str, advance: Advance | None) -> bool:
    match line.split(" "):
        case ["edgekit-folder", folder]:
            heard.folder = folder
        case ["edgekit-removed"]:
            heard.removed = True
        case ["edgekit-alive"]:
            pass
        case ["edgekit-progress", done, total] if _small(done) and _small(total):
            if advance is not None:
                advance(int(done), int(total))
        case ["edgekit-result", size, sha256] if size.isdecimal() and size.isascii() and len(size) < 12:
            if int(size) > MOST_BYTES:
                raise garbage(address, f"it announced an answer of {size} bytes, {MOST_BYTES} at most are read")
            heard.wanted = int(size), sha256
        case _:
            return False
    return True


def _small(number: str) -> bool:
    return number.isascii() and number.isdecimal() and len(number) < 7


def _tail_of(child: subprocess.Popen[bytes]) -> tuple[bytearray, threading.Thread]:
    """The end of what it says on stderr, and the thread that reads it: a full pipe would stop the child."""
    tail = bytearray()
    stream = child.stderr
    assert stream is not None

    def read() -> None:
        while chunk := os.read(stream.fileno(), 2**16):
            tail.extend(chunk)
            del tail[:-TAIL_BYTES]

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return tail, thread


def garbage(address: Address, why: str) -> EdgekitError:
    return EdgekitError(
        "EK729",
        f"cannot make sense of what '{address.text}' says",
        why,
        "check that its login shell prints nothing of its own, and run the command again",
    )


def unanswered(address: Address, python: str, status: int, said: str) -> EdgekitError:
    """Why there is no document. status: the connection's exit code, -N for signal N; said: the end of its stderr."""
    if status == NO_COMMAND:
        return EdgekitError(
            "EK724",
            f"no Python on '{address.text}'",
            _with_words(f"there is no program called {python}", said),
            "install Python 3.8 or newer there (apt install python3), or name one with --python PATH",
        )
    if status == NO_FOLDER:
        return EdgekitError(
            "EK727",
            f"no room on '{address.text}'",
            _with_words("no folder could be made for temporary files", said),
            "free some space there, or set TMPDIR there to a folder that may be written to",
        )
    if address.kind == "ssh" and status == NO_CONNECTION:
        return _no_ssh(address, said)
    if address.kind == "adb" and (refused := _no_adb(address, said)) is not None:
        return refused
    ended = f"signal {-status}" if status < 0 else f"signal {status - 128}" if status > 128 else f"status {status}"
    return EdgekitError(
        "EK728",
        f"the agent died on '{address.text}'",
        _with_words(f"it ended with {ended} and without an answer", said),
        "see there whether memory ran out (dmesg); `edgekit devices probe` tells whether its Python works",
    )


def _no_ssh(address: Address, said: str) -> EdgekitError:
    """By the words of OpenSSH, which are the same in all of its versions."""
    if "Host key verification failed" in said or "HOST IDENTIFICATION HAS CHANGED" in said:
        return EdgekitError(
            "EK722",
            f"'{address.text}' is not the known device",
            said or "its host key is not the one in known_hosts",
            f"compare the key with the device's own; only if it is right: ssh-keygen -R {address.place}, then"
            " log in once with ssh",
        )
    if "Permission denied" in said or "Too many authentication failures" in said:
        return EdgekitError(
            "EK723",
            f"'{address.text}' lets nobody in",
            said,
            f"edgekit asks for no password: put your key there (ssh-copy-id {address.place}), or load it into"
            " ssh-agent",
        )
    return EdgekitError(
        "EK721",
        f"cannot reach '{address.text}'",
        said or "ssh ended without a word",
        f"check that the device is on and that `ssh {address.place}` works",
    )


def _no_adb(address: Address, said: str) -> EdgekitError | None:
    if "unauthorized" in said:
        return EdgekitError(
            "EK723", f"'{address.text}' lets nobody in", said, "allow debugging on the device's own screen"
        )
    if any(words in said for words in ("not found", "offline", "no devices", "cannot connect")):
        return EdgekitError(
            "EK721", f"cannot reach '{address.text}'", said, "check that `adb devices` lists the device"
        )
    return None


def _with_words(why: str, said: str) -> str:
    return f"{why}; its last words: {said}" if said else why


def this_python() -> str:
    """The Python that runs edgekit, as a word of a shell's. Raises EK720 where its path is not one."""
    return checked_python(sys.executable)
