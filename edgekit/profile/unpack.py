"""Receive files and start the agent. Runs on the device, as what `python3 -c` is given; any Python 3 must read it.

stdin: "NAME SIZE\\n" and that many bytes for each file, an empty line after the last, and then nothing until it is
closed, which ends the agent. The current folder is a new one of the agent's own.
"""

import hashlib
import json
import sys
import time

if False:  # for the type checker: the module is from Python 3.5
    from typing import IO

CHUNK_BYTES = 2**16
ALIVE_S = 2.0  # between two signs of life: a slow connection is no dead one


def receive(stream: "IO[bytes]") -> None:
    last = time.time()
    while True:
        head = stream.readline().split()
        if not head:
            return
        name, left = head[0].decode("ascii"), int(head[1])
        with open(name, "wb") as file:  # noqa: PTH123  (Python 3.0)
            while left:
                chunk = stream.read(min(left, CHUNK_BYTES))
                if not chunk:
                    raise EOFError("the connection ended within " + name)
                file.write(chunk)
                left -= len(chunk)
                if time.time() - last > ALIVE_S:
                    last = time.time()
                    sys.stdout.write("edgekit-alive\n")
                    sys.stdout.flush()


def refuse(kind: str, text: str) -> None:
    document = json.dumps({"schema": 1, "failure": {"kind": kind, "text": text, "artifact": None}}).encode()
    sys.stdout.write("edgekit-result %d %s\n" % (len(document), hashlib.sha256(document).hexdigest()))
    sys.stdout.write(document.decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    try:
        receive(sys.stdin.buffer)
    except OSError as error:
        refuse("room", "%s: %s" % (error.filename or "a file", error.strerror))
        return
    if sys.version_info < (3, 8):
        refuse("python", "it is Python %d.%d" % sys.version_info[:2])
        return
    sys.argv = ["agent.pyz", "--remote", "job.json"]
    sys.path.insert(0, "agent.pyz")
    from edgekit.profile import agent

    agent.main(sys.argv[1:])


if __name__ == "__main__":
    main()
