"""The agent on a Cortex-A72 that is not there: do its outputs equal this machine's, byte by byte?

    python benchmarks/aarch64.py FILE [FILE ...] [--work DIR] [--cpu cortex-a72|cortex-a76]

Needs qemu-aarch64-static (Debian: qemu-user-static), apt and pip, and the network the first time: --work then holds
Debian's Python for arm64 and the aarch64 wheels of the runtimes that are installed here. Emulation proves results, not
times: none are printed. Exit code 1 where an output of an integer file differs.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

from edgekit.artifact import INTEGERS
from edgekit.profile import answer, remote
from edgekit.profile.address import Address
from edgekit.profile.agree import agreement
from edgekit.profile.measured import packed
from edgekit.profile.sample import noise
from edgekit.run.signature import opened

DEBS = (
    *("libc6", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libexpat1", "zlib1g", "libssl3"),
    *("libffi8", "libstdc++6", "libgcc-s1", "libbz2-1.0", "liblzma5", "libuuid1", "libsqlite3-0", "libcrypt1"),
)
RUNTIMES = ("numpy", "ai-edge-litert", "onnxruntime", "flatbuffers", "protobuf", "packaging", "typing-extensions")
PARTS = {"cortex-a72": ("0xd08", "fp asimd evtstrm crc32 cpuid"), "cortex-a76": ("0xd0b", "fp asimd asimddp crc32")}
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
EMULATED = Address("an emulated aarch64", "local")
HERE = Address("local", "local")
SILENCE_S = 300.0  # an import of a runtime takes half a minute


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, default=Path("aarch64"))
    parser.add_argument("--cpu", choices=PARTS, default="cortex-a72")
    asked = parser.parse_args()
    python = emulated_python(asked.work.resolve(), asked.cpu)
    artifacts = [opened(path) for path in asked.files]
    names = tuple(path.name for path in asked.files)
    sent = packed(artifacts, [noise(one) for one in artifacts], {"threads": 1, "runs": 1, "outputs_bytes": 2**22})
    found = [
        answer.measurements(remote.run(there, sent, python=program, silence_s=SILENCE_S), there, names)
        for there, program in ((HERE, remote.this_python()), (EMULATED, python))
    ]
    print(f"{found[1].before.cpu}, {found[1].system.architecture}, Python {found[1].system.python}")
    differs = False
    for artifact, here, there in zip(artifacts, found[0].artifacts, found[1].artifacts, strict=True):
        verdict = agreement(artifact, here.outputs, there.outputs)
        differs |= verdict.verdict != "identical" and artifact.precision in INTEGERS
        distance = "" if verdict.verdict == "identical" else f", SQNR {verdict.sqnr_db} dB"
        print(f"{artifact.path.name}: {verdict.verdict}{distance} ({there.runtime} {there.version})")
    return int(differs)


def emulated_python(work: Path, cpu: str) -> str:
    """A script that runs a Python for aarch64, made of Debian's packages and of wheels."""
    qemu = shutil.which("qemu-aarch64-static")
    if qemu is None:
        raise SystemExit("needs qemu-aarch64-static: apt install qemu-user-static")
    root, guest = work / "root", work / "guest"
    if not (root / "usr/bin/python3.11").exists():
        unpack_debs(work, root)
    if not guest.exists():
        wanted = [f"{name}=={importlib.metadata.version(name)}" for name in RUNTIMES]
        platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--only-binary=:all:",
            "--python-version",
            "3.11",
        ]
        subprocess.run([*pip, *platforms, "--target", str(guest), *wanted], check=True)
    part, features = PARTS[cpu]
    core = (
        f"BogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\nCPU variant\t: 0x0\nCPU part\t: {part}\n"
    )
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cpuinfo").write_text("".join(f"processor\t: {i}\n{core}\n" for i in range(4)))
    script = work / f"python-{cpu}"
    libraries = "/lib/aarch64-linux-gnu:/usr/lib/aarch64-linux-gnu"
    # -0: what Python takes for its own path, so that the agent's children are emulated too.
    script.write_text(
        f"#!/bin/sh\nexec {qemu} -L {root} -cpu {cpu} -0 {script} -E PYTHONHOME={root}/usr -E PYTHONPATH={guest}"
        f' -E LD_LIBRARY_PATH={libraries} -E OPENBLAS_NUM_THREADS=1 {root}/usr/bin/python3.11 "$@"\n'
    )
    script.chmod(0o755)
    return str(script)


def unpack_debs(work: Path, root: Path) -> None:
    """By an apt of its own settings: the machine's are left alone."""
    for folder in ("state/lists/partial", "cache/archives/partial", "debs", "root"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    (work / "state/status").touch()
    (work / "apt.conf").write_text(
        f'APT::Architecture "arm64";\nAPT::Architectures {{ "arm64"; }};\nDir::State "{work}/state";\n'
        f'Dir::State::status "{work}/state/status";\nDir::Cache "{work}/cache";\n'
    )
    settings = {**os.environ, "APT_CONFIG": str(work / "apt.conf")}
    subprocess.run(["apt-get", "update", "-qq"], env=settings, check=True)
    subprocess.run(["apt-get", "download", "-qq", *DEBS], env=settings, cwd=work / "debs", check=True)
    for deb in sorted((work / "debs").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(deb), str(root)], check=True)


if __name__ == "__main__":
    sys.exit(main())
