"""What a compiler says is labelled as its model, in every screenful of it."""

from __future__ import annotations

import json
from dataclasses import replace

from edgekit.report.compiled import compiled_in_words, missing_in_words
from edgekit.report.json import to_json
from edgekit.run.vela import Area, Compiled, CompiledOp, LeftOnCpu

COMPILED = Compiled(
    compiler="ethos-u-vela 5.2.0",
    accelerator="ethos-u55-128",
    system_config="Ethos_U55_High_End_Embedded",
    memory_mode="Shared_Sram",
    clock_hz=5e8,
    cycles=1_362_851,
    seconds=0.002725702,
    macs=41_042_816,
    utilisation=0.2353,
    memory=(Area(name="SRAM", on_chip=True, used_bytes=752_640), Area(name="flash", on_chip=False, used_bytes=465_232)),
    weights_bytes=476_160,
    packed_bytes=425_296,
    ops=(
        CompiledOp(name="x_q", op="Quantize", on_cpu=True, cycles=0, macs=0, utilisation=0.0),
        CompiledOp(name="conv", op="Conv2D", on_cpu=False, cycles=1_000_000, macs=41_000_000, utilisation=0.3),
        CompiledOp(name="mean", op="Mean", on_cpu=False, cycles=362_851, macs=0, utilisation=0.0),
    ),
    on_cpu=(LeftOnCpu(name="x_q", op="QUANTIZE", reason="unsupported DataType Float32 (x); must be one of INT8"),),
    doubts=("the compiler's model of the chip",),
)


def test_one_screenful() -> None:
    words = compiled_in_words(COMPILED)
    assert "latency     2.73 ms  the compiler's model, not measured" in words
    assert "cycles      1 362 851 at 500 MHz" in words
    assert "memory      735 KiB of on-chip SRAM, 454 KiB of off-chip flash" in words
    assert "mostly      Conv2D 73 %, Mean 27 %" in words
    assert "slowest     conv 73 % (30 % used), mean 27 %" in words
    assert "on the CPU  1 QUANTIZE: unsupported DataType Float32\n" in words
    assert "estimated" not in words


def test_many_kinds_on_the_cpu_are_counted() -> None:
    left = tuple(LeftOnCpu(name=f"y{i}", op=f"OP_{i % 9}", reason="Unsupported opType") for i in range(20))
    words = compiled_in_words(replace(COMPILED, on_cpu=left))
    assert "on the CPU  3 OP_0: Unsupported opType" in words
    assert "ops of other kinds: --json names all" in words


def test_names_from_a_file_do_not_steer_a_terminal() -> None:
    op = replace(COMPILED.ops[1], name="\x1b]0;owned\x07", op="\x1b[2J")
    left = LeftOnCpu(name="y", op="\x1b[2J", reason="\x1b[2J")
    assert "\x1b" not in compiled_in_words(replace(COMPILED, ops=(op,), on_cpu=(left,)))


def test_as_json() -> None:
    document = json.loads(to_json(COMPILED))
    assert document["kind"] == "compiler's model"
    assert document["on_cpu"][0]["reason"].endswith("must be one of INT8")


def test_what_brings_it() -> None:
    words = missing_in_words("pip install 'edgekit[ethos-u]'")
    assert words.startswith("compiler    not here")
    assert "'edgekit[ethos-u]'" in words
