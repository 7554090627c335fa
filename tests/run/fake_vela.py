"""A Vela that behaves as a test wants: a package of its name on the path, which the worker runs instead of it."""

from __future__ import annotations

from pathlib import Path

import pytest

VERSION = "5.2.0"
TABLES = """
import csv, sys
assert sys.argv[-1] == "model.tflite", sys.argv
def write(name, rows):
    with open(name, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
write("model_summary_Ethos_U55_High_End_Embedded.csv", [{
    "core_clock": 500000000.0, "sram_memory_used": 735.0, "dram_memory_used": 0.0, "on_chip_flash_memory_used": 0.0,
    "off_chip_flash_memory_used": 454.328125, "total_original_weights": 476160, "total_npu_encoded_weights": 425296,
    "nn_macs": 2709504, "cycles_total": 100000}])
def row(original, target, cycles, macs, used, name):
    return {"Original Operator": original, "Target": target, "Op Cycles": cycles, "MAC Count": macs,
            "Util% (MAC)": used, "Name": name}
write("model_per-layer.csv", [
    row("Quantize", "CPU", 0, 0, 100, "x_quantized"),
    row("Conv2D", "NPU", 90000, 2709504, 23.52, "conv"),
    row("Mean", "NPU", 10000, 0, 0.0, "mean"),
    row("Softmax", "CPU", 0, 0, 100, "output")])
print('''
Warning (supported operators) operator: QUANTIZE, ofm: 'x_quantized'
Reason: Operation has tensor with unsupported DataType Float32 (x)
Feature-map dataTypes must be one of {"INT16", "INT8"}

###''')
"""
"""Columns of ethos-u-vela 5.2 that are read, with the numbers of a small net."""


def install(folder: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a Vela on the path, here and of every process started from here, that runs `program`."""
    package = folder / "ethosu" / "vela"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(program, encoding="utf-8")
    told = folder / f"ethos_u_vela-{VERSION}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ethos-u-vela\nVersion: {VERSION}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
