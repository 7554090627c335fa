"""The street on every architecture of `zoo.py`: what is captured, written, run in INT8, and how near it stays.

    python benchmarks/coverage.py [NAME ...] [--readme]

Per model, each in a process of its own: `edgekit quantize` on 16 calibration and 16 evaluation samples, and `edgekit
convert` to a float TFLite file. float: largest of (output - torch's) in the float TFLite file, relative to the output's
root mean square, from its SQNR; ONNX, TFLite: SQNR against torch in dB; MACs: share that ran in INT8 in each runtime;
T: transposes left in the TFLite file; s: seconds of `quantize`; MiB: its peak resident memory, one process.
--readme writes the table between the README's coverage marks.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

ZOO = Path(__file__).resolve().parent / "zoo.py"
README = ZOO.parents[1] / "README.md"
MARKS = ("<!-- coverage -->", "<!-- /coverage -->")
HEAD = ("model", "float", "ONNX", "TFLite", "MACs ONNX", "MACs TFLite", "T", "s", "MiB", "")


def main(arguments: list[str]) -> None:
    sys.path.insert(0, str(ZOO.parent))
    names = [word for word in arguments if not word.startswith("--")]
    if not names:
        from zoo import CASES

        names = list(CASES)
    rows = []
    print(line(HEAD), flush=True)
    for name in names:
        rows.append((name, *covered(name)))
        print(line(rows[-1]), flush=True)
    if "--readme" in arguments:
        write_readme(rows)


def covered(name: str) -> tuple[str, ...]:
    start = perf_counter()
    report, problem, peak = ran("quantize", name, ["--calib", f"{ZOO}:{name}_calibration"])
    seconds = perf_counter() - start
    floats, other, _ = ran("convert", name, ["--format", "tflite"])
    sqnr = {score["label"]: worst(score) for score in (report.get("verification") or {}).get("scores", ())}
    shares = {one["label"]: one["int8_macs_share"] for one in (report.get("verification") or {}).get("ledgers", ())}
    left = {file["label"]: file["transposes"] for file in report.get("files", ())}
    exact = [worst(score) for score in (floats.get("verification") or {}).get("scores", ())]
    return (
        f"{10 ** (-exact[0] / 20):.0e}" if exact else "-",
        *(f"{sqnr[label]:.1f}" if label in sqnr else "-" for label in ("INT8 ONNX", "INT8 TFLite")),
        *(f"{shares[label]:.1%}" if label in shares else "-" for label in ("INT8 ONNX", "INT8 TFLite")),
        str(left.get("INT8 TFLite", "-")),
        f"{seconds:.0f}",
        f"{peak / 2**20:.0f}",
        problem or other,
    )


def worst(score: dict[str, Any]) -> float:
    """dB, over the outputs; None in JSON stands for equal outputs."""
    return min((math.inf if value is None else value for value in score["sqnr_db"].values()), default=math.inf)


def ran(command: str, name: str, options: list[str]) -> tuple[dict[str, Any], str, int]:
    """The report, the error if there was one (the report then says what was done all the same), and peak bytes."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as said:
        words = [command, f"{ZOO}:{name}", *options, "--eval", f"{ZOO}:{name}_evaluation", "-o", folder]
        child = subprocess.Popen([sys.executable, "-m", "edgekit", *words], stdout=subprocess.DEVNULL, stderr=said)
        _, status, used = os.wait4(child.pid, 0)  # with what its own children used
        file = Path(folder) / "report.json"
        report: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        said.seek(0)
        problem = " ".join(text.strip() for text in said.read().splitlines()[:2]) if status else ""
    return report, problem, used.ru_maxrss * 1024


def line(cells: tuple[str, ...]) -> str:
    return f"{cells[0]:30}" + "".join(f"{cell:>12}" for cell in cells[1:-1]) + f"  {cells[-1]}"


def write_readme(rows: list[tuple[str, ...]]) -> None:
    table = [HEAD, tuple("---" for _ in HEAD), *rows]
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in table)
    before, rest = README.read_text().split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    README.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}")


if __name__ == "__main__":
    main(sys.argv[1:])
