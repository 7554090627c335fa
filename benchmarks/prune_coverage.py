"""Pruning, and on to INT8, on every architecture of `zoo.py`: how much can go, and does what is left run?

    python benchmarks/prune_coverage.py [NAME ...] [--macs SHARE]

Per model, in a process of its own: `edgekit quantize --macs 70%` (or SHARE) on 16 calibration and 16 evaluation
samples, with ranges from the smallest to the largest value, since random weights have no accuracy to lose. MACs,
params: what is left; cut: groups of channels that lost some, of all; ONNX, TFLite: SQNR of the INT8 files against the
pruned model in PyTorch, dB; INT8: share of the MACs that ran in INT8 in each runtime. A model whose goal is out of
reach says what forbids it.
"""

from __future__ import annotations

import sys

from coverage import ZOO, ran, worst

HEAD = ("model", "MACs", "params", "cut", "ONNX", "TFLite", "INT8 ONNX", "INT8 TFLite", "")


def main(words: list[str]) -> None:
    sys.path.insert(0, str(ZOO.parent))
    share = words[words.index("--macs") + 1] if "--macs" in words else "70%"
    names = [word for word in words if not word.startswith("--") and word != share]
    if not names:
        from zoo import CASES

        names = list(CASES)
    print(line(HEAD), flush=True)
    for name in names:
        print(line((name, *pruned(name, share))), flush=True)


def pruned(name: str, share: str) -> tuple[str, ...]:
    options = ["--calib", f"{ZOO}:{name}_calibration", "--macs", share, "--ranges", "minmax"]
    report, problem, _ = ran("quantize", name, options)
    facts, checks = report.get("pruning"), report.get("verification") or {}
    sqnr = {score["label"]: worst(score) for score in checks.get("scores", ())}
    shares = {one["label"]: one["int8_macs_share"] for one in checks.get("ledgers", ())}
    labels = ("INT8 ONNX", "INT8 TFLite")
    left = ["-"] * 3
    if facts:
        groups = facts["groups"]
        smaller = sum(group["kept"] < group["channels"] for group in groups)
        left = [
            f"{facts['macs'] / report['model']['macs']:.1%}",
            f"{facts['parameters'] / report['model']['parameters']:.1%}",
            f"{smaller}/{len(groups)}",
        ]
    return (
        *left,
        *(f"{sqnr[label]:.1f}" if label in sqnr else "-" for label in labels),
        *(f"{shares[label]:.1%}" if label in shares else "-" for label in labels),
        problem,
    )


def line(cells: tuple[str, ...]) -> str:
    return f"{cells[0]:30}" + "".join(f"{cell:>12}" for cell in cells[1:-1]) + f"  {cells[-1]}"


if __name__ == "__main__":
    main(sys.argv[1:])
